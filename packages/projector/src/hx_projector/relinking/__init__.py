"""Owners carried to what a tool made of an export."""
