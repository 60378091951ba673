"""Conducting a sweep: which trial next, whether it goes on, how it ended."""
