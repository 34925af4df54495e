"""Weights of an exported model that lie in files: the model refers to these, and holds none of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from hx_graph import TensorSlot, tensors_in
from hx_tracer.watch.file_weights import FileWeights


def refer_to_files(model: ir.Model, files: Sequence[FileWeights]) -> None:
    """Let a model refer to the bytes of its weights where these are, as they are, bytes of one of the files.

    The exporter's constant folding (onnxscript 0.7) hands out transposed views of weights: their bytes are others, except
    where all are zeros. What was changed since it was loaded is not in the files either.
    """
    written = [file for file in files if file.is_written()]
    for slot in tensors_in(model) if files else ():
        address, size_bytes, contiguous = _extent(getattr(slot.tensor, "raw", None))
        for file in files:
            offset = address - file.address
            if size_bytes != slot.tensor.nbytes or not 0 <= offset <= file.size_bytes - size_bytes:
                continue
            if file in written and not file.is_as_stored(offset, size_bytes):
                continue
            if contiguous or file.is_hole(offset, size_bytes):
                slot.put(_external(slot, file, offset))


def _extent(raw: Any) -> tuple[int, int, bool]:
    """Return address and size in bytes of the memory that an array or tensor spans, and whether it is in C order."""
    if isinstance(raw, torch.Tensor) and raw.layout == torch.strided:
        last = sum((size - 1) * stride for size, stride in zip(raw.shape, raw.stride(), strict=True))
        return raw.data_ptr(), (last + 1) * raw.element_size() if raw.numel() else 0, raw.is_contiguous()
    if isinstance(raw, np.ndarray):
        low, high = np.lib.array_utils.byte_bounds(raw)
        return low, high - low, raw.flags.c_contiguous
    return 0, 0, False


def _external(slot: TensorSlot, file: FileWeights, offset: int) -> ir.ExternalTensor:
    tensor, folder = slot.tensor, file.path.parent
    shape, name = ir.Shape(tensor.shape.numpy()), str(tensor.name)
    place = file.path.name, offset, tensor.nbytes
    return ir.ExternalTensor(*place, tensor.dtype, shape=shape, name=name, base_dir=folder)
