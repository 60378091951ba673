"""What a study holds: trials, evaluations, decisions, outcomes, and how they are scored."""
