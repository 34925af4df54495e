"""Which call owns each node, and what became of every call.

A node gets its owner in `owners.attribute_nodes`: the sources of evidence are asked in order, and the first claim counts.
Read in this order:

1. `project`: the entry; from a model and a context to the sidecar.
2. `owners`: the engine: claims of sources to owners, for nodes of bodies and functions too. A node that no source claims
   gets `known=False` here.
3. `sources`: the sources of evidence; what they are given and return is in `hx_projector._claims`.
4. `assemble`: from owned nodes to the sidecar: consumers, counts by category. Nodes below `min_confidence` get
   `known=False` here.
5. `status`, `boundaries`: which calls can be cut out, with which ports, and why others cannot.
"""
