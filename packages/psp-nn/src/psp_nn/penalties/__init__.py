"""Penalties against forgetting, for any network."""
