"""What it costs to cut a model of 3 GB: `uv run python benchmarks/large.py [--folder FOLDER]`.

The table goes to stdout and to docs/benchmarks/large.md. Needs 7 GB of disk, and Linux: what was read of the weights is
what the kernel holds of their file afterwards, when it held nothing before.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import HERE, MODELS, Row, export, machine, measure, table

EXTRACT_ALL = ["extract", "large.onnx", "--all", "--weights", "share", "--no-verify", "--overwrite", "--quiet"]
SHARE_ALL = """
import onnx, hx_extractor, hx
hx.extract  # imported here, not when it runs
def run():
    hx.extract("large.onnx", weights="share", verify=False, overwrite=True)
"""
COPY_ONE = """
import onnx, hx_extractor
def run():
    model = hx_extractor.load("large.onnx")
    extraction = model.extract({call!r})
    extraction.save("copy/one.onnx")
    weights = [value.const_value for value in model.model.graph.initializers.values()]
    own = [value.const_value for value in extraction.model.graph.initializers.values()]
    read = [tensor for tensor in weights if tensor.raw is not None]
    return [sum(tensor.nbytes for tensor in tensors) for tensors in (own, read)]
"""

TEXT = """# A model of 3 GB

GPT-2 with 24 layers, 1536 wide, float32: {size} of weights. {machine}
Times are of a machine shared with other work. Made by `benchmarks/large.py`.

## Every call, weights shared

`hx extract large.onnx --all --weights share --no-verify`

{shared}

## One call, weights copied

`load`, `extract` and `save`. Should be read: its own weights, and what the kernel reads ahead, {ahead} at each
place.

{copied}
"""


def bench_share(folder: Path) -> list[Row]:
    """Every call into the export's own folder, its weights shared."""
    data = folder / "large.onnx.data"
    seconds: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hx_cli", *EXTRACT_ALL], cwd=folder, check=True)
        seconds.append(time.perf_counter() - start)
    forget(data)
    run = measure(SHARE_ALL, folder, 1)
    cut = [path for path in folder.glob("*.onnx") if path.name != "large.onnx"]
    return [
        (f"time for {len(cut)} calls, imports included", f"{statistics.median(seconds):.1f} s", "< 10 s"),
        ("peak memory beyond imports", f"{run['grown_kib'] / 1024:.0f} MB", "< 500 MB"),
        ("weights read from the disk", megabytes(in_memory(data)), "0"),
    ]


def bench_copy(folder: Path) -> list[Row]:
    """Single calls with their weights copied."""
    data = folder / "large.onnx.data"
    rows: list[Row] = []
    for call in ("h.12.ln_1", "h.12.attn", "h.12.mlp", "h.12"):
        forget(data)
        run = measure(COPY_ONE.format(call=call), folder, 1)
        own, looked_into = run["result"]
        rows.append(
            (
                f"`{call}`",
                megabytes(own),
                megabytes(looked_into),
                megabytes(in_memory(data)),
                f"{run['grown_kib'] / 1024:.0f} MB",
                f"{run['times'][0]:.2f} s",
            )
        )
    return rows


def megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.2f} MB"


def forget(path: Path) -> None:
    """Make the kernel drop what it holds of a file.

    Raises:
        SystemExit: If it does not: files in memory (tmpfs) are read from no disk.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if (held := in_memory(path)) > 0:
        raise SystemExit(f"{held} bytes of {path} stay in memory; name a --folder on a disk.")


def in_memory(path: Path) -> int:
    """Return how many bytes of a file the kernel holds, in whole pages; see mincore(2)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        pages = np.zeros(-(-len(view) // mmap.PAGESIZE), np.uint8)
        libc = ctypes.CDLL(None, use_errno=True)
        arguments = (ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(len(view)))
        if libc.mincore(*arguments, ctypes.c_void_p(pages.ctypes.data)) != 0:
            raise OSError(ctypes.get_errno(), "mincore")
        del view
    return int((pages & 1).sum()) * mmap.PAGESIZE


def read_ahead(path: Path) -> int:
    """Return how many bytes the kernel reads at a place of a file where one is asked for."""
    device = path.stat().st_dev
    text = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb").read_text()
    return int(text) << 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the temporary files go, 7 GB on a disk")
    chosen = parser.parse_args().folder
    with tempfile.TemporaryDirectory(dir=chosen) as name:
        folder = Path(name)
        (folder / "models.py").write_text(MODELS)
        export("models.py:gpt2_large", "large.onnx", folder)
        shared = table(("what", "measured", "target"), bench_share(folder))
        head = ("call", "its weights", "looked into", "read from the disk", "peak memory beyond imports", "time")
        copied = table(head, bench_copy(folder))
        ahead = megabytes(read_ahead(folder))
        size = megabytes((folder / "large.onnx.data").stat().st_size)
    text = TEXT.format(machine=machine(), size=size, shared=shared, ahead=ahead, copied=copied)
    print(text)
    (HERE.parent / "docs" / "benchmarks" / "large.md").write_text(text)


if __name__ == "__main__":
    main()
