"""What follows from a mask alone, a file per kind: computed once an image, and cut along with it."""
