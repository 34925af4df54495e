"""What an ONNX file itself says of the modules behind its nodes, and what hx writes into it or takes out.

* `claims`: what single nodes say, whoever wrote it.
* `context`: a `ModuleContext` from that, for a file whose module is not at hand (`modules`), or added to the context of a
  PyTorch run.
* `contents`: a sidecar into a model; what an exporter wrote, numbers of weights and text that names a machine, out of it.
"""
