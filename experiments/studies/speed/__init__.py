"""Speed: what the runner and superposition cost."""
