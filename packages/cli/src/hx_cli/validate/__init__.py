"""`hx validate`."""
