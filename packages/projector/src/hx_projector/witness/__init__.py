"""The witness: evidence by comparing the values of a PyTorch run with the values of the graph.

The tracer records a run in PyTorch as an `Observation`: every operation with the call that ran it and a fingerprint of its
result. Here the graph runs on the same inputs; where a value of the graph equals a tensor of the observation, the witness
claims the value's node for the call that computed the tensor. Names of nodes and values decide nothing, so a renamed or
optimised graph is read like any other. Nodes go by their first outputs, calls by their rows, tensors by their positions in
`Observation.operations`. Read in this order:

1. `matches`: the entry, `claim_by_witness`, returns ports and claims; nodes whose value equals the result of one call's
   operation, and what follows for the others.
2. `fingerprints`, `graph_run`: run the graph in ONNX Runtime, find the values that equal a tensor.
3. `observation`: the operations of PyTorch with the values that equal their results.
4. `readers`: what is inferred about a node from the nodes that read it.
5. `ports`: which values carry the ports of a call, and the nodes between them.
"""
