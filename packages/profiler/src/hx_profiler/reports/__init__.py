"""Profiles by module, compared, and of calls alone."""
