"""After a sweep: checks, cleaning up, export."""
