"""Makes `tests/` the place that tests import from, so that what they share (`builders`) is written once."""
