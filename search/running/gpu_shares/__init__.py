"""How many trials share a GPU: measured once, before the sweep asks for any."""
