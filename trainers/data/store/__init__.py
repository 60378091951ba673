"""Decoded images and masks on disk."""
