"""The export itself, with each exporter, and what is recorded of it."""
