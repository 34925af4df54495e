"""What the cost benchmarks share: the models, runs in fresh processes, and the table."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Row = tuple[str, ...]

MODELS = """
import torch, transformers
def gpt2_small():
    torch.manual_seed(0)
    config = transformers.GPT2Config(use_cache=False)
    return transformers.GPT2Model(config).eval(), {"input_ids": torch.randint(0, 1000, (2, 16))}
def gpt2_large():
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_embd=1536, n_layer=24, n_head=16, use_cache=False)
    return transformers.GPT2Model(config).eval(), {"input_ids": torch.randint(0, 1000, (2, 16))}
"""

MEASURED = """
import json, pathlib, time, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.ERROR)
def memory(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
{setup}
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
before = memory("VmRSS")
times = []
for _ in range({repeat}):
    start = time.perf_counter()
    result = run()
    times.append(time.perf_counter() - start)
peak = memory("VmHWM")
print("RESULT", json.dumps({{"times": times, "peak_kib": peak, "grown_kib": peak - before, "result": result}}))
"""


def measure(setup: str, folder: Path, repeat: int) -> dict[str, Any]:
    """Run `run()` of a snippet `repeat` times in a fresh process.

    Linux only: elsewhere the peak of a process includes that of the one which started it.

    Returns:
        `times` in seconds, `peak_kib` since the snippet was imported, `grown_kib` beyond what there was then, and the
        `result` that `run()` returned last.
    """
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format(setup=setup, repeat=repeat)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    line = next((text for text in done.stdout.splitlines() if text.startswith("RESULT")), None)
    if line is None:
        raise SystemExit(f"benchmark failed:\n{done.stderr[-3000:]}")
    return json.loads(line.removeprefix("RESULT"))


def export(model: str, target: str, folder: Path) -> None:
    """Run `hx export` on a model, which may be a function of `models.py` in `folder`; what it prints is dropped."""
    subprocess.run(
        [sys.executable, "-m", "hx_cli", "export", model, "-o", target, "--no-verify"],
        cwd=folder,
        check=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.DEVNULL,
    )


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return rows as Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def machine() -> str:
    """Return the line that says what was measured with."""
    names = ("torch", "transformers", "onnx", "onnx-ir", "onnxruntime")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}."
