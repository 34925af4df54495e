"""`hx.split` and `hx.join`."""
