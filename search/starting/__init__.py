"""A first sweep file, for data that were looked at, a machine and so many hours."""
