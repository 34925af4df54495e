"""A model as viewers show it, with what the records of other commands say of its nodes and calls."""
