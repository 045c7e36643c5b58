"""Rotating images: an input distribution that drifts and returns."""
