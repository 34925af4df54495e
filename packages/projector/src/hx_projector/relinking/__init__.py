"""Owners carried from an export to what a tool made of it: optimised, fused, quantised or converted.

Values that both graphs have divide them into regions; a node of the new graph stands for the nodes of the original in the
same region. Names of values and nodes help only between values that are already matched, and a weight alone decides nothing: tools
merge equal weights of different modules. Read in this order:

1. `relink`: the entry; from two models and a sidecar to the sidecar of the new model.
2. `original`: what is read of the original; `reading`: the same from its file, without making the graph.
3. `correspondence`: which value of the new graph is which of the original.
4. `carry`: from corresponding values to owners of the new nodes.
5. `context`: ports, recovered nodes, weights and examples, as they are in the new graph.
"""
