"""Weights that are views of a mapped file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import torch

from hx_graph import written_ranges
from hx_tracer._torch_internals import is_readable


class FileWeights:
    """A file whose bytes are the memory of tensors; nothing is read before a tensor is."""

    def __init__(self, path: Path, storage: torch.UntypedStorage, *, shared: bool = False) -> None:
        """Take a file, and the storage that is made of it; `shared` as of `map`."""
        self.path, self._shared = path, shared
        self._bytes = torch.empty(0, dtype=torch.uint8).set_(storage)
        self.size_bytes = self._bytes.nbytes

    @classmethod
    def map(cls, path: Path, *, shared: bool) -> Self:
        """Map a file.

        Args:
            path: The file.
            shared: Whether what is written to tensors goes to the file; else it stays in memory.

        Raises:
            OSError: If the file cannot be read.
            RuntimeError: If it cannot be mapped.
        """
        storage: Any = torch.UntypedStorage.from_file(str(path), shared, path.stat().st_size)
        return cls(path, storage, shared=shared)

    def view(self, offset: int, dtype: torch.dtype, shape: Iterable[int]) -> torch.Tensor:
        """Return a tensor of the bytes from an offset on."""
        like = torch.empty(*shape, dtype=dtype, device="meta")
        return self._bytes[offset : offset + like.nbytes].view(dtype).view(like.shape)

    def holds(self, tensor: torch.Tensor) -> bool:
        """Say whether a tensor has its memory here."""
        return is_readable(tensor) and tensor.untyped_storage().data_ptr() == self.address

    @property
    def address(self) -> int:
        """Where the file begins in memory."""
        return self._bytes.data_ptr()

    def spans(self, address: int) -> bool:
        """Say whether an address in memory is one of a byte of the file."""
        return 0 <= address - self.address < self.size_bytes

    def is_written(self) -> bool:
        """Say whether memory was written to that does not go to the file, as Linux tells; True where nobody does."""
        if self._shared:
            return False
        end, is_own, sizes = self.address + self.size_bytes, False, list[int]()
        with suppress(OSError), Path("/proc/self/smaps").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if found := _MAPPING.match(line):
                    is_own = int(found[1], 16) < end and int(found[2], 16) > self.address
                elif is_own and line.startswith(("Anonymous:", "Swap:")):
                    sizes.append(int(line.split()[1]))
        return not sizes or any(sizes)

    def is_as_stored(self, offset: int, size_bytes: int) -> bool:
        """Say whether the memory of the bytes from `offset` on still is what the file holds."""
        with self.path.open("rb") as file:
            file.seek(offset)
            for start in range(offset, offset + size_bytes, _CHUNK_BYTES):
                end = min(start + _CHUNK_BYTES, offset + size_bytes)
                if file.read(end - start) != self._bytes[start:end].numpy().tobytes():
                    return False
        return True

    def is_hole(self, offset: int, size_bytes: int) -> bool:
        """Say whether nobody wrote the bytes from `offset` on, so that all are zeros."""
        with self.path.open("rb") as file:
            return not any(written_ranges(file, offset, offset + size_bytes))

    def stand_in(self, like: torch.Tensor) -> torch.Tensor | None:
        """Return a tensor of this file with the shape and dtype of another; None if the file is shorter."""
        return None if like.nbytes > self.size_bytes else self.view(0, like.dtype, like.shape)


_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ")
_CHUNK_BYTES = 1 << 24
