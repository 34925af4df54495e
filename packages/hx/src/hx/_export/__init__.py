"""From a PyTorch model to an ONNX model that knows its modules."""
