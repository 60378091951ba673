"""Batches of crops: which, where, and how they are cut."""
