"""What may be tried: loss terms, schedules and distributions over them, as plain data.

The lowest layer. Nothing here imports torch, Ray, Optuna or MLflow, so that a schedule can be read, checked,
compared and printed anywhere, in milliseconds.
"""
