from hypothesis import settings

# `pytest --hypothesis-profile=thorough`: many more cases wherever a test does not say how many.
settings.register_profile("thorough", max_examples=2000, deadline=None)
