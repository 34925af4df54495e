"""What the cost benchmarks share: the models, runs in fresh processes, and the table."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Row = tuple[str, ...]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of processes that are measured: with Python's bytecode cached, as an installed program has it. A first run makes it."""

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
    environment = {**ENVIRONMENT, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "2"}
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
        env={**ENVIRONMENT, "PYTHONPATH": str(folder)},
        stdout=subprocess.DEVNULL,
    )


def run(command: str, folder: Path) -> tuple[float, int, str]:
    """Run a command of hx; return its processor time in seconds, its peak of anonymous memory in bytes, and its output."""
    before = os.times()
    with (folder / "output.txt").open("w+") as output:
        words = [sys.executable, "-m", "hx_cli", *command.split()]
        process = subprocess.Popen(words, cwd=folder, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT)
        peak = 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(0.02)
        text = (folder / "output.txt").read_text()
    if process.returncode:
        raise SystemExit(f"hx {command} failed:\n{text}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system, peak, text


def anonymous_bytes(process: int) -> int:
    """Return the anonymous memory of a process; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon")), 0)


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return rows as Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def machine() -> str:
    """Return the line that says what was measured with."""
    names = ("torch", "transformers", "onnx", "onnx-ir", "onnxruntime")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}."
