"""Kill commands that write over old files at their system calls, and count what is left. Linux on x86-64.

PYTHONPATH=tests uv run python benchmarks/kills.py --page docs/benchmarks/kills.md
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from killing import SCENES, kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=60, help="kills of each command, at writes evenly chosen")
    parser.add_argument("--page", type=Path, help="write the table there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        found = {scene.__name__: kills(scene, Path(folder) / scene.__name__, most=options.each) for scene in SCENES}
    text = page(found)
    if options.page:
        options.page.write_text(text, encoding="utf-8")
    print(text)


def page(found: dict[str, Counter[str]]) -> str:
    """Return a table of where each command was killed. A mixture would have ended the run."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("hx-onnx", "onnx-ir", "onnxruntime"))
    lines = [
        "# Kills",
        "",
        "Commands that write over old files, killed before a system call that writes, renames or removes (ptrace). After each",
        "kill every model on disk gave the numbers of the old files or of the new ones, with a sidecar of its own; after the",
        "next command all files were old, or all were new. Made by `benchmarks/kills.py`; `tests/test_kills.py` is a short run.",
        "",
        f"{versions}, Python {platform.python_version()}, Linux {platform.release()}.",
        "",
        f"**{sum(sum(counts.values()) for counts in found.values())}** kills, **0** mixtures.",
        "",
        "| command | kills | before |",
        "|---|---:|---|",
    ]
    for name, counts in found.items():
        where = ", ".join(f"{call} {count}" for call, count in sorted(counts.items()))
        lines.append(f"| {name.replace('_', ' ')} | {sum(counts.values())} | {where} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
