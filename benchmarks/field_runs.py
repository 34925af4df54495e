"""One file or one model of `field.py` through the commands, in a process and a folder of its own: `field_runs.py NAME [FILE]`.

Before every command the rows as they are so far are printed as a line of JSON; the last line has all of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import resource
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import onnxruntime

import hx
import hx_cli

MODELS = Path(__file__).parent / "field_models.py"
MEMORY_BYTES = 12 << 30
Row = dict[str, Any]
ROWS: list[Row] = []


class Runs:
    """Commands on one model in the current folder, and the row that they fill."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.failed: list[str] = row.setdefault("failed", [])
        self.findings: Counter[str] = row.setdefault("findings", Counter())

    def __call__(self, *command: str, right: tuple[int, ...] = (0,)) -> Row:
        """Run one command of hx and return the record that it printed; an empty one where it printed none."""
        self.row["now"] = command[0]
        start = time.monotonic()
        print(json.dumps(ROWS), flush=True)
        out, err = io.StringIO(), io.StringIO()
        sys.argv = ["hx", *command, "--json"]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = hx_cli.main()
        if code not in right:
            said = re.search(r"^error\[(\w+)\]: (.*)$", err.getvalue(), re.MULTILINE)
            self.failed.append(f"{command[0]}: exit {code} {f'{said[1]} {said[2]}' if said else ''}"[:240].strip())
        self.row.setdefault("took", []).append([command[0], round(time.monotonic() - start, 1)])
        text = out.getvalue()
        return json.loads(text) if text.startswith("{") else {}

    def validate(self, model: str) -> None:
        """Count the findings of a model and its sidecar."""
        self.findings.update(self("validate", model, right=(0, 1)).get("counts", {}))

    def extract(self, model: str) -> Row:
        """Cut all calls out; return how many were equal to the whole model's, differ, and were not compared."""
        modules = self("extract", model, "--all", "-o", "parts", right=(0, 1)).get("modules", [])
        cut = [entry for entry in modules if entry["file"]]
        equal = sum(entry["relative_error"] is not None and not entry["failed"] for entry in cut)
        why = Counter(entry["reason"][:160] for entry in modules if entry["failed"])
        open_ = sum(entry["relative_error"] is None and not entry["failed"] for entry in cut)
        for part in sorted(Path("parts").glob("*.onnx")):
            self.findings.update(hx.validate(part).counts)
        shutil.rmtree("parts", ignore_errors=True)
        extractable = sum(entry["status"] == "extractable" for entry in modules)
        return {"extractable": extractable, "equal": equal, "differ": why.total(), "open": open_, "why": why}


def a_file(row: Row) -> None:
    """Put `x.onnx` through all commands."""
    run = Runs(row)
    projected = run("project", "x.onnx")
    row |= {key: projected.get(key) for key in ("exporter", "nodes", "modules", "exact_percent", "covered_percent")}
    run("tree", "x.onnx")
    run("analyze", "x.onnx")
    run.validate("x.onnx")
    row |= run.extract("x.onnx")
    run("compare", "x.onnx", "x.onnx")
    run("profile", "x.onnx", "--runs", "2")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = "y.onnx"
    onnxruntime.InferenceSession("x.onnx", options, providers=["CPUExecutionProvider"])
    run("compare", "x.onnx", "y.onnx", right=(0, 1))
    row["relinked_percent"] = run("relink", "y.onnx", "--from", "x.onnx").get("exact_percent")
    run.validate("y.onnx")
    row["relinked"] = run.extract("y.onnx")


def a_model(row: Row, spec: str, axes: str) -> None:
    """Export one model and check it in every way."""
    run = Runs(row)
    exported = run("export", spec, "-o", "x.onnx", "--overwrite", *(["--dynamic"] if axes == "dynamic" else []))
    row |= {key: exported.get(key) for key in ("nodes", "modules", "exact_percent", "covered_percent", "notes")}
    row["whole"] = (exported.get("verification") or {}).get("status")
    if exported:
        run.validate("x.onnx")
        verified = run("verify", "x.onnx", "--against", spec, right=(0, 1))
        row["compared"] = verified.get("compared", 0)
        row["wrong"] = [call["tag"] for call in verified.get("calls", []) if call["wrong"]]
        row |= run.extract("x.onnx")


def main() -> None:
    """Run what the arguments name in the current folder."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    name, *files = sys.argv[1:]
    started = time.monotonic()
    for axes in ("",) if files else ("static", "dynamic"):
        row: Row = {"name": f"{name} {axes}".strip()}
        ROWS.append(row)
        if files:
            shutil.copy(files[0], "x.onnx")
            a_file(row)
        else:
            a_model(row, f"{MODELS}:{name}", axes)
        row |= {"now": "", "seconds": round(time.monotonic() - started)}
        started = time.monotonic()
    print(json.dumps(ROWS))


if __name__ == "__main__":
    main()
