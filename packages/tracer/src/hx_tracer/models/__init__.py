"""Model specs to modules, small random ones included."""
