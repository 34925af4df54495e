"""Evidence by values: which tensors of a PyTorch run are which values of the graph.

The tracer records an eager run as an `Observation`: every operation with the call that ran it and a fingerprint of its
result. Here the graph runs on the same inputs, and equal tensors are matched. Names of nodes and values decide nothing,
so a renamed or optimised graph is read like any other. Read in this order:

1. `run`: the entry, `match_observed_run`; returns ports and claims.
2. `fingerprints`, `graph_run`: run the graph in ONNX Runtime, find the values that equal a tensor.
3. `graph`, `observed`: the two sides, prepared: the graph's values and the operations of PyTorch.
4. `matches`: nodes whose value equals the result of one call's operation, and what follows for the others.
5. `readers`: what is inferred about a node from the nodes that read it.
6. `ports`, `regions`: which values carry the ports of a call, and the nodes between them.
"""
