"""The kinds of maps, a file each; `spaces.discovery` finds them."""
