"""Topology of graphs, whatever their nodes and values are called: whether two are the same, and what they do not share.

Three answers, each for another need:

* `ordered.first_difference`: the first place where two exports of one model part, node by node in the order of the file.
* `canonical.structural_digest`: a digest that is equal exactly for models of one topology, in whatever order.
* `difference.graph_difference`: the nodes that two models do not share. Nodes are coloured by what leads to them and by
  what they lead to, paired by equal colours, and what is left by a longest common subsequence (`matching`).

`signature` says what a node is by itself, `walk` what it reads and in which order nodes are visited.
"""
