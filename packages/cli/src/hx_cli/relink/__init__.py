"""`hx relink`."""
