"""Sources of evidence: each claims owners for the nodes that it knows something of.

A source is a function from an `AttributionInput` to claims. A strategy, or the caller of `project`, says which
sources are asked, in which order; `find` has them by name, those of other packages too.

* `exporter`: what the exporter recorded of each node, or what a file says of it.
* `witness`: equal values in PyTorch and in the graph; the claims of `hx_projector.witness`.
* `parameter`: a weight of a module that was called once.
* `dataflow`: what lies between nodes that stronger sources claim.
"""
