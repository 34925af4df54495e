"""Profiles as other tools read them."""
