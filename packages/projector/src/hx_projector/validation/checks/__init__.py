"""The checks of `validate`: functions from a model with its sidecar to findings, which change nothing.

`model`: the file by itself. `rows`: nodes and references. `calls`, `modules`, `ports`, `owners`: those parts of the
sidecar. `summary`: facts about the file, counts.
"""
