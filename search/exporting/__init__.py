"""What leaves a sweep: which training, at which threshold, as which file; and training it again."""
