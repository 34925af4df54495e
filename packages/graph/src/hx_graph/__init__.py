"""Walks over ONNX graphs and the tree of calls: what hx's packages share."""
