"""Every call's numbers beside PyTorch's."""
