"""What is wrong or suspicious in a data set."""
