"""Tensors of safetensors files, by name: headers are read, and of the data what is asked for, mapped.

The format: https://huggingface.co/docs/safetensors/index#format.
"""

from __future__ import annotations

import json
import math
import operator
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from hx_graph._pointers import advice_on_pointer
from hx_sidecar_schema import HxError

_DTYPES = {
    "F64": "DOUBLE",
    "F32": "FLOAT",
    "F16": "FLOAT16",
    "BF16": "BFLOAT16",
    "F8_E4M3": "FLOAT8E4M3FN",
    "F8_E5M2": "FLOAT8E5M2",
    "BOOL": "BOOL",
    **{f"{kind}{bits}": f"{name}{bits}" for kind, name in (("I", "INT"), ("U", "UINT")) for bits in (8, 16, 32, 64)},
}
_LENGTH_BYTES = 8
_HEADER_BYTES = 100_000_000
"""No header is longer, by the format."""
_CHUNK_BYTES = 1 << 24
_INDEX = ".safetensors.index.json"


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies."""

    path: Path
    offset: int
    """In bytes, from the beginning of the file."""
    dtype: ir.DataType
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(math.prod(self.shape) * self.dtype.itemsize)

    def array(self) -> np.ndarray[Any, Any]:
        """Return its elements, mapped: what nobody looks at is not read."""
        return self._bytes().view(self.dtype.numpy()).reshape(self.shape)

    def equals(self, other: StoredTensor) -> bool:
        """Say whether another one has the same elements to the bit; pieces are read, not the whole."""
        if (self.dtype, self.shape) != (other.dtype, other.shape):
            return False
        mine, others = self._bytes(), other._bytes()
        pieces = (slice(start, start + _CHUNK_BYTES) for start in range(0, self.nbytes, _CHUNK_BYTES))
        return all(np.array_equal(mine[piece], others[piece]) for piece in pieces)

    def _bytes(self) -> np.ndarray[Any, Any]:
        if not self.nbytes:
            return np.zeros(0, np.uint8)
        return np.asarray(np.memmap(self.path, np.uint8, "r", offset=self.offset, shape=self.nbytes))


def stored_tensors(place: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file, or of those in a folder, by name.

    Of a folder, `model.safetensors`, as transformers takes it whatever lies beside it; else the files that its index names
    (`*.safetensors.index.json`), or without one all of its `.safetensors` files. Tensors of element types that ONNX has not are
    left out.

    Raises:
        HxError: HX219 if there is no such file, or one is not what the format says.
    """
    files = _files(place)
    found: dict[str, StoredTensor] = {}
    for file, names in files.items():
        tensors, others = _read_header(file)
        for name in tensors.keys() & found.keys():
            raise _error(f"{str(file)!r} and {str(found[name].path)!r} both hold {name!r}")
        if names is not None and (missing := names - tensors.keys() - others):
            raise _error(f"{str(file)!r} lacks {sorted(missing)[0]!r}, which the index says it holds")
        found |= tensors
    return found


def _files(place: Path) -> Mapping[Path, set[str] | None]:
    """Return the files to read, and the names that an index says each holds."""
    if place.is_file() and not place.name.endswith(_INDEX):
        return {place: None}
    single = place / "model.safetensors"
    if single.is_file():
        return {single: None}
    indices = [place] if place.is_file() else sorted(place.glob(f"*{_INDEX}"))
    if len(indices) > 1:
        raise _error(f"folder {str(place)!r} has several indices: {', '.join(one.name for one in indices)}")
    if indices:
        files: dict[Path, set[str] | None] = {}
        for name, file in _weight_map(indices[0]).items():
            names = files.setdefault(indices[0].parent / file, set())
            assert names is not None
            names.add(name)
        return files
    found = sorted(place.glob("*.safetensors"))
    if not found:
        raise _error(f"{str(place)!r} is no safetensors file, and no folder that holds one")
    return dict.fromkeys(found)


def _weight_map(index: Path) -> dict[str, str]:
    try:
        files: dict[str, str] = json.loads(index.read_bytes())["weight_map"]
        if not all(Path(file).name == file for file in files.values()):
            raise ValueError("it names files elsewhere")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _error(f"index {str(index)!r} cannot be read: {error}") from error
    return files


def _read_header(path: Path) -> tuple[dict[str, StoredTensor], set[str]]:
    """Return the tensors of a file, and the names of those of other element types than ONNX has."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > min(_HEADER_BYTES, status.st_size):
                raise ValueError(f"its header would have {length} bytes")
            header: dict[str, Any] = json.loads(file.read(length))
        begin = _LENGTH_BYTES + length
        rows = {name: row for name, row in header.items() if name != "__metadata__" and row["dtype"] in _DTYPES}
        found: dict[str, StoredTensor] = {}
        for name, row in rows.items():
            start, end = map(operator.index, row["data_offsets"])
            shape = tuple(map(operator.index, row["shape"]))
            tensor = StoredTensor(path, begin + start, ir.DataType[_DTYPES[row["dtype"]]], shape)
            if min((start, *shape)) < 0 or end - start != tensor.nbytes or begin + end > status.st_size:
                raise ValueError(f"{name!r} does not lie where the header says, or the file is cut short")
            found[name] = tensor
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _error(f"{str(path)!r} cannot be read: {reason}", advice_on_pointer(path)) from error
    return found, header.keys() - found.keys()


def _error(what: str, hint: str = "") -> HxError:
    hint = hint or "Name a folder that `save_pretrained` wrote, or a .safetensors file."
    return HxError(f"Weights: {what}.", code="HX219", hint=hint)
