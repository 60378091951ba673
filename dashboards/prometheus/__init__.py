"""Figures of a running driver for Prometheus."""
