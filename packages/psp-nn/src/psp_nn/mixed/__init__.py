"""Calls of a network whose batch mixes contexts: the entry is `call.MixedCall`."""
