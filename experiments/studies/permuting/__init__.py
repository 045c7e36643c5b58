"""Permuted images: fifty tasks in one network."""
