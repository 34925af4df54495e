"""`hx extract`."""
