"""Two sweeps held against each other, as values and as a page."""
