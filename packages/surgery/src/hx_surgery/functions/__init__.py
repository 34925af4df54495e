"""Module calls as model-local functions."""
