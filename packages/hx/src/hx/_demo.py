"""The whole way on a small model, with no download."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from hx._export.export import export
from hx._extract import extract
from hx._hierarchy import tree
from hx._models import opened
from hx._progress import Progress, silent
from hx._redacted import command_line
from hx.files import sidecar_path
from hx.records.demo import DemoReport
from hx_extractor import Extraction
from hx_sidecar_schema import HxError, read_file

MODEL = "tiny:bert"
SIZES = (3, 21, 5, 9)
"""For free dimensions, in the order in which they appear: not those of the export."""


def demo(folder: str | Path = "hx-demo", *, progress: Progress = silent) -> DemoReport:
    """Export a small BERT, cut a self-attention out, and run it at sizes that the export never saw.

    Examples:
        >>> import hx
        >>> hx.demo("hx-demo").passed
        True

    Args:
        folder: For the files; replaced where an earlier demo made it.
        progress: Told what goes on.

    Returns:
        The records of each step. `hx.load(report.model)` goes on from there.

    Raises:
        HxError: HX402 if the folder holds anything else.
    """
    folder = Path(folder)
    model = folder / "bert.onnx"
    _check_own(folder, model)
    if not command_line.get():
        command_line.set(("hx.demo()",))
    exported = export(MODEL, f=model, dynamic=True, overwrite=True, progress=progress)
    attention = exported.calls("encoder.layer.*.attention.self")[-1]  # it needs a mask that other modules made
    part = folder / f"{attention.fqn.replace('.', '_')}.onnx"
    extracted = extract(model, attention.tag, part, against=MODEL, overwrite=True, progress=progress)
    progress("Running it", 0, 0)
    extraction = opened(model)[attention.tag].extract()
    feeds = _drawn(extraction)
    results = extraction.run(feeds)
    return DemoReport(
        model=str(model),
        export=exported.report,
        tree=tree(model, depth=4),
        extract=extracted,
        inputs={name: list(array.shape) for name, array in feeds.items()},
        outputs={name: list(array.shape) for name, array in results.items()},
        finite=all(bool(np.isfinite(array).all()) for array in results.values()),
    )


def _check_own(folder: Path, model: Path) -> None:
    """A folder is the demo's own where it is empty, or where all models in it are the demo's export and cut out of it."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    with suppress(OSError, ValueError, KeyError, TypeError):
        generator: dict[str, Any] = json.loads(read_file(sidecar_path(model)))["generator"]
        if "demo" in re.split(r"\W+", str(generator["command"])):
            return
    raise HxError(
        f"Folder {str(folder)!r} holds files that are not the demo's.",
        code="HX402",
        hint="Name another folder.",
        argument="folder",
    )


def _drawn(extraction: Extraction) -> dict[str, Any]:
    """Inputs of other sizes than the recorded ones; a mask hides nothing."""
    draw = np.random.default_rng(0)
    free = dict.fromkeys(dim for port in extraction.inputs for dim in port.shape if isinstance(dim, str))
    sizes: dict[int | str, int] = dict(zip(free, cycle(SIZES)))
    feeds: dict[str, Any] = {}
    for port in extraction.inputs:
        dims = [sizes[dim] if isinstance(dim, str) else dim for dim in port.shape]
        dtype = ir.DataType[port.dtype].numpy()
        floating = np.issubdtype(dtype, np.floating)
        feeds[port.name] = (draw.standard_normal(dims) if floating else np.ones(dims)).astype(dtype)
    return feeds
