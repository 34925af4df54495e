"""What nodes and module calls compute, read and produce, for given shapes of the inputs.

1. `nodes`: the entry, `model_cost`; multiply-accumulates, weights and bytes of results of every node.
2. `shapes`: the shape of every value: what the file says, what ONNX infers, what a run shows.
3. `arithmetic`: the arithmetic of one node, by onnx-tool and by formulas.
4. `calls`: sums over module calls; `records` are printed as they are.
"""
