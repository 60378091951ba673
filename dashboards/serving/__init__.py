"""Serving the pages."""
