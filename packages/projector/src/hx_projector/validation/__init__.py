"""Whether a model and its sidecar agree."""
