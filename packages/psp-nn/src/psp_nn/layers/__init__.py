"""Superposed forms of layers, and what they share."""
