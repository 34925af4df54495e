"""What an ONNX file itself says of the modules behind its nodes, and what hx writes into it or takes out.

* `claims`: what single nodes say, whoever wrote it.
* `context`: a `ModuleContext` from that, for a file whose module is not at hand (`modules`), or added to the context of a
  PyTorch run.
* `embed`: a sidecar into the metadata; what an exporter wrote, out of it.
* `redact`: numbers of weights and text that names a machine, out of models and records.
"""
