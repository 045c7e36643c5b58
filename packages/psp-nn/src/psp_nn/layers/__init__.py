"""Superposed layers, one module per kind of layer, and what they share."""
