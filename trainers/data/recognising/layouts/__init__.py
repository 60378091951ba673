"""A file per layout of a data set: how it is recognised by the names of its files."""
