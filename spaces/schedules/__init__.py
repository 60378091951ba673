"""Schedules as data: written, read, followed, and compared with controls."""
