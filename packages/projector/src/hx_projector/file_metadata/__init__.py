"""What an ONNX file itself says of the modules behind its nodes; what hx writes into it."""
