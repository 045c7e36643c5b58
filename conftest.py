"""Two sizes of the tests that draw what they try: quick by default, thorough on request."""

from hypothesis import settings

settings.register_profile("thorough", deadline=None, max_examples=2000)
