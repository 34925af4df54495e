"""`hx verify`."""
