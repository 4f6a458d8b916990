"""Measures ours beside the peers, in one run, as ratios. Never fails on a time: see `__main__`."""
