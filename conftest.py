"""Profiles of hypothesis: quick by default, `--hypothesis-profile=thorough` on request."""

from hypothesis import settings

settings.register_profile("thorough", deadline=None, max_examples=2000)
