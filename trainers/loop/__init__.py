"""The training loop of one trial: steps, checkpoints, resuming."""
