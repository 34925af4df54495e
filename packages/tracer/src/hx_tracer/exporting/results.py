"""What a module returned, as the outputs of its graph."""

from itertools import zip_longest
from typing import Any

import torch

from hx_tracer._torch_internals import leaves_with_path, pytree


def outputs_of(result: Any, count: int) -> list[torch.Tensor]:
    """Return the tensors of a result, with its numbers where they are `count` only so: a size may be an output."""
    kinds = torch.Tensor, bool, int, float, complex
    leaves = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, kinds)]
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    return [torch.as_tensor(leaf) for leaf in leaves] if len(leaves) == count else tensors


def other_structure(program: torch.onnx.ONNXProgram, result: Any) -> str:
    """Say how the containers that were traced differ from those of a result; empty where they hold the same, so named."""
    traced = program.exported_program and program.exported_program.call_spec.out_spec
    if not traced:  # TorchScript has no containers
        return ""
    both = pytree.tree_unflatten([0] * traced.num_leaves, traced), result
    outputs, returned = ([".".join(path) for path, _ in leaves_with_path(one)] for one in both)
    for traced_path, path in zip_longest(outputs, returned, fillvalue="nothing"):
        if traced_path != path:
            return f"the module returned {path or 'a tensor'!r} where its trace returned {traced_path or 'a tensor'!r}"
    return ""
