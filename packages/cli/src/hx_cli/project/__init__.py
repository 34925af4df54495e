"""`hx project`."""
