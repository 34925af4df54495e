"""`hx demo`."""
