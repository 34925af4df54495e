"""The calls, modules and nodes of an export as records."""
