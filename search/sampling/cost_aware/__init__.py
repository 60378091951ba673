"""Proposals by expected gain per epoch that they still cost, where trained prefixes are kept."""
