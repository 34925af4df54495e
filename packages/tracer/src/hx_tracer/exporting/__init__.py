"""The export: a plain `torch.onnx.export`, and a record of what was seen while it ran.

Read `export` first: it runs the module in PyTorch, then the exporter of a strategy, `dynamo` or `torchscript`, with an
`ExportRequest`. `dynamo` watches the trace (package `watch`) and reads the graph before optimisation (`raw_graph`); which
values remain after it is in `survivors`, what was removed in `recover`, and `context` writes the record. `torchscript`
reads the calls from names of nodes. `plain` runs the exporters unwatched.
"""
