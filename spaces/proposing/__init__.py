"""What a sweep may propose: distributions over losses and schedules."""
