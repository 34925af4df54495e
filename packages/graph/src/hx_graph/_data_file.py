"""A file that tensors are written to: what a file already holds is copied from it in pieces, and holes stay holes."""

import errno
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

INLINE_BYTES = 256
"""Weights up to this size stay in a model, as in those that onnx-ir writes: what ONNX Runtime reads for shapes is there."""
SMALL_ELEMENTS = 1 << 16
"""No matrix with more decides what an exporter does: it folds and merges weights of up to 8192 elements (onnxscript 0.7)."""
_PAGE = 4096
_ALIGNED = 16
_PAGED_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 24


def is_small(shape: Iterable[int]) -> bool:
    """Say whether a weight is made where others are zeros: an exporter may look at its numbers.

    Of vectors of any length it does: a bias of zeros it leaves out.
    """
    sizes = tuple(shape)
    return math.prod(sizes) <= max(SMALL_ELEMENTS, *sizes, 0)


def has_data(tensor: ir.TensorProtocol, inline_bytes: int = INLINE_BYTES) -> bool:
    """Say whether a tensor may lie in a data file, and is larger than what stays in a model."""
    return tensor.dtype != ir.DataType.STRING and tensor.nbytes > inline_bytes


def lacks_weights(model: ir.Model, unmade: Iterable[str] = ()) -> bool:
    """Say whether weights of a model were never made; what such a model computes means nothing.

    `unmade` are those that were not when it was exported: one that still begins with zeros is enough. So are, where nobody
    says it, holes of its data file that are most bytes of its large weights: `hx export --random-weights` leaves them.
    """
    weights = (model.graph.initializers.get(name) for name in unmade)
    if any(
        value is not None and value.const_value is not None and _begins_with_zeros(value.const_value)
        for value in weights
    ):
        return True
    unwritten = total = 0
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and tensor.size > SMALL_ELEMENTS:
            total += tensor.nbytes
            unwritten += tensor.nbytes if is_unwritten(tensor) else 0
    return 2 * unwritten > total


def _begins_with_zeros(tensor: ir.TensorProtocol) -> bool:
    return not tensor.numpy().reshape(-1)[:SMALL_ELEMENTS].any()


def is_unwritten(tensor: ir.TensorProtocol | None) -> bool:
    """Say whether a tensor is a large one in a data file whose bytes nobody wrote; holes of safetensors are zeros that somebody saved."""
    if not isinstance(tensor, ir.ExternalTensor) or tensor.size <= SMALL_ELEMENTS:
        return False
    if str(tensor.path).endswith(".safetensors"):
        return False
    begin = tensor.offset or 0
    with Path(tensor.path).open("rb") as file:
        return not any(written_ranges(file, begin, begin + tensor.nbytes))


class DataFile:
    """A data file of models; each tensor is written once, however many weights it is."""

    def __init__(self, file: BinaryIO, location: str) -> None:
        """Write to an open file, to which models refer by `location`."""
        self._file, self._location, self._end = file, location, 0
        self._places: dict[object, int] = {}
        self._kept: list[ir.TensorProtocol] = []  # an id is that of a tensor that lives

    def put(self, tensor: ir.TensorProtocol) -> ir.ExternalTensor:
        """Write a tensor if that was not done; return it as one that lies in the file.

        One of 64 KiB or more begins at a page, so that what is a hole elsewhere can be one here.

        Raises:
            OSError: If what it refers to cannot be read, or this cannot be written.
        """
        external = tensor if isinstance(tensor, ir.ExternalTensor) else None
        place = id(tensor) if external is None else (external.path, external.offset, external.nbytes)
        if place not in self._places:
            aligned = _PAGE if tensor.nbytes >= _PAGED_BYTES else _ALIGNED
            offset = self._places[place] = -(-self._end // aligned) * aligned
            self._file.seek(offset)
            if external is None:
                self._file.write(tensor.tobytes())
            else:
                self._copy(external, offset)
            self._end = offset + tensor.nbytes
            self._kept.append(tensor)
        shape = ir.Shape(tensor.shape.numpy())
        return ir.ExternalTensor(
            self._location, self._places[place], tensor.nbytes, tensor.dtype, shape=shape, name=str(tensor.name)
        )

    def _copy(self, tensor: ir.ExternalTensor, offset: int) -> None:
        begin = tensor.offset or 0
        with Path(tensor.path).open("rb", buffering=0) as source:  # a buffer reads on from where it left the file
            for start, end in written_ranges(source, begin, begin + tensor.nbytes):
                source.seek(start)
                self._file.seek(offset + start - begin)
                while start < end:
                    chunk = source.read(min(end - start, _CHUNK_BYTES))
                    if not chunk:
                        raise OSError(f"{tensor.path!r} is cut short")
                    self._file.write(chunk)
                    start += len(chunk)
        self._file.truncate(max(self._file.seek(0, os.SEEK_END), offset + tensor.nbytes))


def written_ranges(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bytes that somebody wrote, from `begin` up to `end`; what lies between them reads as zeros.

    One range where the file system does not tell.
    """
    if not hasattr(os, "SEEK_DATA"):  # Windows
        yield begin, end
        return
    while begin < end:
        try:
            start = os.lseek(file.fileno(), begin, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nothing is written behind `begin`
                raise
            return
        if start >= end:
            return
        stop = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), end)
        yield start, stop
        begin = stop
