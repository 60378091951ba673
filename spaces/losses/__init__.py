"""Loss terms as data: what they are, and the catalog of them."""
