"""A file per guard: its thresholds, its rule, what docs/guards.md says of it. A file put here is a guard."""
