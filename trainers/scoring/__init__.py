"""What a trial is good for: the objective, the evaluation its score is taken from, and where it operates."""
