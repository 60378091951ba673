"""MLflow, a view of the study that can be rebuilt."""
