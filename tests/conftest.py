"""Makes `tests/` the place that tests import from, so that what they share (`builders`) is written once."""

from hypothesis import settings

# No test is a timed test: on a busy machine an example may take as long as it takes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
