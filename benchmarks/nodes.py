"""What commands cost on graphs of many nodes: `uv run python benchmarks/nodes.py [COUNT...] [--graph GRAPH...]`.

Every command is a process of its own, beside one that only calls `onnx_ir.load` on the same file. Compared is the time of the
processor, the system's included. The table goes to stdout; of the default counts also to docs/benchmarks/nodes.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from graphs import GRAPHS, generate
from measuring import ENVIRONMENT, HERE, Row, machine, table

COUNTS = (10_000, 100_000)
WARM_UP = 100
LIMIT, GROWTH = 2.5, 12
"""Times the load; times the smaller graph, for ten times the nodes."""
HX = ("-m", "hx_cli")


class Used(NamedTuple):
    """What a process used."""

    seconds: float
    """Of the processor, user and system."""
    peak_mb: float


def commands(file: str, call: str) -> dict[str, list[str]]:
    """Return the arguments of Python for each thing that is measured; `call` is what is cut out."""
    return {
        "load": ["-c", f"import onnx_ir; onnx_ir.load({file!r})"],
        "tree": [*HX, "tree", file],
        "nodes": [*HX, "nodes", file, "-m", call],
        "analyze": [*HX, "analyze", file],
        "compare": [*HX, "compare", file, file],
        "extract": [*HX, "extract", file, "-m", call, "-o", "part.onnx", "--no-verify", "--overwrite"],
        "relink": [*HX, "relink", file, "--from", file, "-o", "relinked.json", "--overwrite"],
        "validate": [*HX, "validate", file],
        "sidecar": [
            "-c",
            "from hx.files import sidecar_path; from hx_sidecar_schema import Sidecar; from pathlib import Path; "
            f"Sidecar.load(sidecar_path(Path({file!r}))).save(Path('again.json'))",
        ],
        "ONNX Runtime": [
            "-c",
            "import onnxruntime as o; s = o.SessionOptions(); s.graph_optimization_level = o.GraphOptimizationLevel(0); "
            f"o.InferenceSession({file!r}, s, providers=['CPUExecutionProvider'])",
        ],
    }


def made(graph: str, count: int, path: Path) -> tuple[str, str, str]:
    """Write a graph with its sidecar; return how many nodes and calls it has, and a call in the middle."""
    sidecar = generate(graph, count, path)
    middle = sidecar.calls[len(sidecar.calls) // 2]
    return str(len(sidecar.nodes)), str(len(sidecar.calls)), f"{sidecar.module_of(middle).fqn}@{middle.index}"


def used(arguments: list[str], folder: Path) -> Used:
    """Run Python with these arguments in a folder; stop where it fails."""
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} failed: {said.decode()[-2000:]}")
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--graph", action="append", choices=GRAPHS)
    parser.add_argument("--command", action="append")
    options = parser.parse_args()
    counts, graphs = tuple(options.counts), options.graph or ["chain", "wide", "layered", "repeated"]
    rows: list[Row] = []
    for graph in graphs:
        before: dict[str, Used] = {}
        for count in (WARM_UP, *counts):
            with tempfile.TemporaryDirectory() as name:
                # In a process of its own: a child counts its parent's memory as its own peak.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    *sizes, call = pool.submit(made, graph, count, Path(name) / "graph.onnx").result()
                found: dict[str, Used] = {}
                for command, arguments in commands("graph.onnx", call).items():
                    if options.command and command not in (*options.command, "load"):
                        continue
                    found[command] = used(arguments, Path(name))
                    if count == WARM_UP:  # Python keeps the bytecode of what was imported
                        continue
                    seconds, peak_mb = found[command]
                    ratio = f"{seconds / found['load'].seconds:.2f}" if command != "load" else ""
                    growth = f"{seconds / before[command].seconds:.1f}" if command in before else ""
                    rows.append((graph, *sizes, command, f"{seconds:.1f} s", ratio, growth, f"{peak_mb:.0f} MB"))
                    print(*rows[-1], sep=" | ", flush=True)
            before = {} if count == WARM_UP else found
    head = ("graph", "nodes", "calls", "command", "processor", f"/ load (<= {LIMIT})", f"growth (<= {GROWTH})", "peak")
    text = table(head, rows)
    if counts == COUNTS and not options.command:
        page = HERE.parent / "docs" / "benchmarks" / "nodes.md"
        page.write_text(f"# Commands on many nodes\n\n{NOTE}\n\n{text}\n\n{machine()} Made by `benchmarks/nodes.py`.\n")


NOTE = """Each row is one process: `load` is `onnx_ir.load` of the file and no more, `ONNX Runtime` a session without optimisation, which
`validate` makes too up to 250,000 nodes, `sidecar` reads and writes the sidecar. *growth* is beside the row of a tenth of the nodes, imports included.

The limits are met but for `validate`, and `relink` in the wide graph and of a million layered nodes, 2.6 to 2.8 times. ONNX Runtime takes time
quadratic in the number of nodes, in a wide graph 23 s for 100,000; without it `validate` takes 1.6 to 2.0 times the load there. At a million it
had no session after seven minutes: `validate` does not ask it then, and says so. All stays under 8 GB. Bytecode is cached, as an installed program
has it; without it imports flatter every ratio."""


if __name__ == "__main__":
    main()
