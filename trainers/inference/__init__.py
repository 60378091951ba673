"""A trained model in use: one value with all that predicting takes, its files, and images of any size."""
