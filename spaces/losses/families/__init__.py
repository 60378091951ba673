"""A file per family of losses, as data. A term put here is known; `trainers.losses.families` computes it."""
