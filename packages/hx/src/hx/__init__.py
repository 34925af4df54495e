"""PyTorch models to ONNX with their modules: export, look, cut, verify, compare."""
