"""Run commands on the models of ONNX's own backend tests, and count how they end.

PYTHONPATH=tests uv run python benchmarks/backend.py --page benchmarks/backend.md
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from backend_models import Run, models, run_commands, with_modules

PACKAGES = ("hx-onnx", "onnx", "onnx-ir", "onnxruntime")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take every so many-th model alone")
    parser.add_argument("--page", type=Path, help="write the table there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    started, runs = time.time(), dict[str, list[Run]]()
    chosen = sorted(models().items())[:: options.every]
    with tempfile.TemporaryDirectory() as work:
        for kind, change in (("as they are", lambda model: model), ("a module each node", with_modules)):
            for name, model in chosen:
                for run in run_commands(name, change(model), Path(work)):
                    runs.setdefault(kind, []).append(run)
                    if run.fault:
                        print(kind, run, flush=True)
    text = page(runs, len(chosen))
    if options.page:
        options.page.write_text(text, encoding="utf-8")
    print(text, f"{time.time() - started:.0f} s", sep="\n")
    return int(any(run.fault for found in runs.values() for run in found))


def page(runs: dict[str, list[Run]], count: int) -> str:
    """Return a table of how the commands ended."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    everything = [run for found in runs.values() for run in found]
    lines = [
        "# ONNX's own backend tests",
        "",
        f"{count} models of `onnx.backend.test`, each as it is, and with every node named as the only one of a module.",
        "Made by `benchmarks/backend.py`; `tests/test_backend_models.py` runs a sample.",
        "",
        f"{versions}, Python {platform.python_version()}.",
        "",
        f"**{sum(bool(run.fault) for run in everything)}** commands did not end as they must; the longest took"
        f" {max(run.seconds for run in everything):.1f} s. Exit code 1 of `validate` is right where ONNX's checker or",
        "ONNX Runtime does not take the model (V01, V02 alone), and that of `extract` then; 2 is a refusal with a code, which `project` and `extract` may give.",
        "",
        "| models | command | 0 | 1 | 2 with a code | faults |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for kind, found in runs.items():
        ended = Counter((run.command, "fault" if run.fault else run.code) for run in found)
        counts = {run.command: [str(ended[run.command, code]) for code in (0, 1, 2, "fault")] for run in found}
        lines += [f"| {kind} | {verb} | {' | '.join(row)} |" for verb, row in counts.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
