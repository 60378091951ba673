"""Absolute rules that end a diverging trial, a file per rule, each with its evidence."""
