"""The checks of `validate`: functions from a model with its sidecar to what is wrong, which change nothing.

`file`: the file by itself, and what the sidecar says of it. `rows`: nodes, references, counts. `calls`, `modules`, `ports`,
`owners`: those parts of the sidecar. Where what is right can be computed, a function `expected_...` does so, for `repair` too.
"""
