"""Capacity: how many models fit into one set of weights."""
