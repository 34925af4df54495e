"""What `hx compare` costs on graphs of 100,000 nodes: `uv run python benchmarks/compare.py [NODES]`.

Each graph is compared with itself under other names and in another order, and with that one after a change of one node in
the middle, or of three. Times are of the whole command, in a fresh process. The table goes to stdout and to docs/benchmarks/compare.md.
"""

from __future__ import annotations

import argparse
import heapq
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import onnx
from graphs import GRAPHS, model_of
from measuring import HERE, Row, table
from onnx.onnx_pb import GraphProto, ModelProto

LIMIT_S = 20
SEED = 0
SHAPES = ("chain", "wide", "layered")


def disguised(model: ModelProto) -> ModelProto:
    """Return the same graph under other names, in another order."""
    chance = random.Random(SEED)
    copy = ModelProto()
    copy.CopyFrom(model)
    graph: GraphProto = copy.graph
    nodes = list(model.graph.node)
    maker = {name: index for index, node in enumerate(nodes) for name in node.output}
    waiting = [len({maker[name] for name in node.input if name in maker}) for node in nodes]
    readers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for source in {maker[name] for name in node.input if name in maker}:
            readers.setdefault(source, []).append(index)
    ready = [(chance.random(), index) for index, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, index = heapq.heappop(ready)
        order.append(index)
        for reader in readers.get(index, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, (chance.random(), reader))
    names = [*maker, *(weight.name for weight in graph.initializer)]
    numbers = dict(zip(names, chance.sample(range(len(names)), len(names)), strict=True))
    other = {name: f"r{number}" for name, number in numbers.items()}
    del graph.node[:]
    for index in order:
        node = graph.node.add()
        node.CopyFrom(nodes[index])
        node.input[:] = [other.get(name, name) for name in node.input]
        node.output[:] = [other[name] for name in node.output]
    for item in (*graph.initializer, *graph.output, *graph.value_info):
        item.name = other[item.name]
    return copy


def changed(model: ModelProto, places: Sequence[float]) -> ModelProto:
    """Return the graph with another operator at the first node with one input from each of these places on."""
    copy = ModelProto()
    copy.CopyFrom(model)
    nodes = list(copy.graph.node)
    for place in places:
        following = nodes[int(len(nodes) * place) :]
        node = next(node for node in following if len(node.input) == 1 and node.op_type != "Sin")
        node.op_type = "Sin"
        del node.attribute[:]
    return copy


def processor_s() -> float:
    """Return the processor time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(left: Path, right: Path) -> tuple[float, float, dict[str, object]]:
    """Run the command; return its seconds, those of the processor, and its record."""
    start, before = time.perf_counter(), processor_s()
    done = subprocess.run(
        [sys.executable, "-m", "hx_cli", "compare", str(left), str(right), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return seconds, processor_s() - before, json.loads(done.stdout)


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nodes", nargs="?", type=int, default=100_000)
    count = parser.parse_args().nodes
    rows: list[Row] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for shape in SHAPES:
            first = model_of(list(GRAPHS[shape](count)))
            second = disguised(first)
            onnx.save(first, folder / "first.onnx")
            cases = (
                ("renamed, reordered", second),
                ("and one node changed", changed(second, [0.5])),
                ("and three, far apart", changed(second, [0.25, 0.5, 0.75])),
            )
            for case, model in cases:
                onnx.save(model, folder / "second.onnx")
                seconds, processor, record = timed(folder / "first.onnx", folder / "second.onnx")
                slowest = max(slowest, seconds)
                found = [sum(len(g["nodes"]) for g in record[key]) for key in ("removed", "added", "rewired")]
                said = "same" if record["same"] else "removed {}, added {}, rewired {}".format(*found)
                rows.append((shape, str(len(first.graph.node)), case, said, f"{seconds:.1f} s", f"{processor:.1f} s"))
                print(*rows[-1], flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    versions = ", ".join(f"{package} {version(package)}" for package in ("onnx", "onnx-ir"))
    page = f"""# `hx compare` on large graphs

{table(("graph", "nodes", "beside", "said", "time", "processor"), rows)}

Times are of the whole command: imports, reading both files, the comparison. The largest peak of memory is {peak:.0f} MB, the limit
{LIMIT_S} s. Python {platform.python_version()}, {versions}, two cores of a machine shared with other work. Made by
`benchmarks/compare.py`.
"""
    (HERE.parent / "docs" / "benchmarks" / "compare.md").write_text(page)
    print(page)
    if slowest > LIMIT_S:
        raise SystemExit(f"slower than {LIMIT_S} s")


if __name__ == "__main__":
    main()
