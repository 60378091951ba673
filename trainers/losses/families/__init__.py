"""A file per family of losses: what computes it, built from its data in `spaces.losses.families`."""
