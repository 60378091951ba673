"""What confirmation says of a leader: paired differences, their uncertainty, and one of four verdicts."""
