"""`hx export`."""
