"""Ray Tune as a runner."""
