"""A file per source of data: what a sweep file says of it, and where what reads it is. No torch here."""
