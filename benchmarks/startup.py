"""What it takes until a command has answered: `uv run python benchmarks/startup.py [RUNS]`.

Commands run interleaved, each in a fresh process, with Python's bytecode cached as an installed program has it; medians
of processor time are compared with `hx --help`. The tables go to stdout and to docs/benchmarks/startup.md.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring import ENVIRONMENT, HERE, machine

HX = (sys.executable, "-m", "hx_cli")
PART = "encoder.layer.0.attention"
COMMANDS = {
    "hx --help": (HX, "--help"),
    "hx tree": (HX, "tree", "bert.onnx"),
    "hx nodes": (HX, "nodes", "bert.onnx", "-m", PART),
    "hx modules": (HX, "modules", "bert.onnx"),
    "hx extract": (HX, "extract", "bert.onnx", "-m", PART, "-o", "part.onnx", "--overwrite"),
    "hx extract --no-verify": (
        *(HX, "extract", "bert.onnx", "-m", PART, "-o", "part.onnx"),
        *("--overwrite", "--no-verify"),
    ),
}
TARGETS = {"hx tree": 2.5, "hx nodes": 2.5, "hx modules": 2.5, "hx extract": 3.0}
READ = (
    "import os; os.environ['PYDANTIC_DISABLE_PLUGINS'] = '__all__'; import pathlib, typer, pydantic_core; "
    "from pydantic import BaseModel, create_model; import rich.console, rich.table, rich.tree; "
    "content = pydantic_core.from_json(pathlib.Path('bert_hierarchy.json').read_bytes()); "
    "create_model('Row', schema_version=(str, ...)).model_validate(content)"
)
"""Without plugins, as hx runs. A record of one field: pydantic (2.14) imports a third of what it needs when the first is made."""
GRAPH = f"{READ}; import hx_graph, onnx, onnx_ir; onnx_ir.load('bert.onnx')"
FLOORS = {
    "hx tree": ((*HX, "tree", "bert.onnx"), READ),
    "hx nodes": ((*HX, "nodes", "bert.onnx", "-m", PART), READ),
    "hx modules": ((*HX, "modules", "bert.onnx"), READ),
    "hx analyze": ((*HX, "analyze", "bert.onnx"), f"{GRAPH}; import onnx_tool"),
    "hx compare": ((*HX, "compare", "bert.onnx", "bert.onnx"), f"{GRAPH}; onnx_ir.load('bert.onnx')"),
    "hx validate": (
        (*HX, "validate", "bert.onnx"),
        f"{GRAPH}; import onnxruntime; onnxruntime.InferenceSession('bert.onnx')",
    ),
}
"""Commands that only read, beside what they must import and read."""
READING_LIMIT = 1.3
IMPORTS = (
    "pass",
    "import typer",
    "import pydantic; pydantic.BaseModel",
    "import hx_sidecar_schema",
    "import hx_extractor",
    "import hx",
    "import numpy",
    "import onnx",
    "import hx_graph, onnx_ir",
    "import onnx_ir",
    "import onnxruntime",
)


def words_of(parts: Sequence[str | Sequence[str]]) -> list[str]:
    """Return the words of a command, some of which are given together."""
    return [word for part in parts for word in ([part] if isinstance(part, str) else part)]


def medians(commands: Mapping[str, Sequence[str]], runs: int, folder: Path) -> dict[str, float]:
    """Return median seconds of processor time of some commands; a first run of each is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, cwd=folder, env=ENVIRONMENT, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def main() -> None:
    """Measure, print and write the page."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([*HX, "-q", "export", "tiny:bert", "-o", "bert.onnx"], check=True, cwd=folder)
        took = medians({name: words_of(parts) for name, parts in COMMANDS.items()}, runs, folder)
        reading = medians(
            {
                key: words
                for name, (command, floor) in FLOORS.items()
                for key, words in ((name, command), (f"{name}, floor", [sys.executable, "-c", floor]))
            },
            runs,
            folder,
        )
        imports = medians({code: [sys.executable, "-c", code] for code in IMPORTS}, runs, folder)
    lines = ["| command | processor time | of `hx --help` | target |", "|---|---|---|---|"]
    for command, seconds in took.items():
        target = f"<= {TARGETS[command]}" if command in TARGETS else ""
        lines.append(f"| `{command}` | {seconds:.2f} s | {seconds / took['hx --help']:.2f} | {target} |")
    lines += [
        "",
        f"| command | processor time | what it must import and read | ratio (<= {READING_LIMIT}) |",
        "|---|---|---|---|",
    ]
    for name in FLOORS:
        whole, floor = reading[name], reading[f"{name}, floor"]
        lines.append(f"| `{name}` | {whole:.2f} s | {floor:.2f} s | {whole / floor:.2f} |")
    lines += ["", "| in a fresh Python | processor time |", "|---|---|"]
    lines += [f"| `{code}` | {1000 * seconds:.0f} ms |" for code, seconds in imports.items()]
    table = "\n".join(lines)
    print(table)
    page = HERE.parent / "docs" / "benchmarks" / "startup.md"
    notes = page.read_text(encoding="utf-8").partition("<!-- notes -->")[2] if page.exists() else "\n"
    head = f"# Start-up\n\n{machine()} A tiny BERT; `benchmarks/startup.py`, medians of {runs} runs."
    page.write_text(f"{head}\n\n{table}\n\n<!-- notes -->{notes}", encoding="utf-8")


if __name__ == "__main__":
    main()
