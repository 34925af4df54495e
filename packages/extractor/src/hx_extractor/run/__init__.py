"""Models in ONNX Runtime, and how far numbers are apart."""
