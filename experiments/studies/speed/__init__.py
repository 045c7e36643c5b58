"""Speed: the cost of the runner and of superposition."""
