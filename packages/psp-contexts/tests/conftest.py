from hypothesis import settings

# `pytest --hypothesis-profile=thorough` runs many more cases in tests that do not set a number.
settings.register_profile("thorough", max_examples=2000, deadline=None)
