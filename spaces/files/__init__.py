"""Files that people write: read with their lines, checked, their mistakes named."""
