"""What hx costs, each as a ratio measured in one run: `uv run python benchmarks/cost.py [export|extract|attribute|profile|help]`.

Both sides of a ratio run interleaved, in fresh processes where memory is measured; medians are compared. The table
goes to stdout and to docs/benchmarks/cost.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import ENVIRONMENT, HERE, MODELS, Row, export, machine, measure, table

PLAIN = """
import models, torch
model, inputs = models.gpt2_small()
program = torch.onnx.export(model, kwargs=inputs, dynamo=True, verbose=False)
program.save("plain.onnx", external_data=True)
"""
OURS = """
import models, hx
model, inputs = models.gpt2_small()
hx.export(model, inputs, "hx.onnx", verify=False, overwrite=True)
"""
QUIET = "import warnings, logging; warnings.simplefilter('ignore'); logging.disable(logging.ERROR)\n"


def whole(script: str, folder: Path) -> tuple[float, float, float]:
    """Return a fresh process's seconds, its seconds of processor time, and the MB of its peak, imports included."""
    start = time.perf_counter()
    with (folder / "log.txt").open("w") as log:
        words = [sys.executable, "-c", QUIET + script]
        process = subprocess.Popen(words, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"benchmark failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def bench_export(folder: Path) -> list[Row]:
    """`hx.export(verify=False)` against a plain export plus save: GPT-2 small, 124 M parameters; seven pairs of whole processes."""
    pairs = []
    for i in range(7):
        sides = [whole(script, folder) for script in ((PLAIN, OURS) if i % 2 else (OURS, PLAIN))]
        pairs.append(tuple(sides if i % 2 else reversed(sides)))
        print(*(" ".join(f"{value:.2f}" for value in side) for side in pairs[-1]), sep=" | ", flush=True)
    rows = []
    for column, (what, unit) in enumerate((("time", "s"), ("processor time", "s"), ("peak memory", "MB"))):
        plain, ours = (statistics.median(pair[side][column] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[1][column] / pair[0][column] for pair in pairs)
        rows.append(
            (f"export, {what}: hx / plain", f"{ours:.2f} {unit} / {plain:.2f} {unit}", f"{ratio:.3f}", "<= 1.03")
        )
    return rows


def bench_extract(folder: Path) -> list[Row]:
    """One MLP out of a 24-layer, 1536-wide GPT-2 (3 GB) against onnx.utils.extract_model."""
    export("models.py:gpt2_large", "large.onnx", folder)
    import hx_extractor

    model = hx_extractor.load(folder / "large.onnx")
    extraction = model.extract("h.12.mlp")
    inputs, outputs = extraction.external_inputs, [port.value for port in extraction.outputs]
    del model, extraction
    theirs = f"""
import onnx.utils
def run():
    onnx.utils.extract_model("large.onnx", "theirs.onnx", {inputs!r}, {outputs!r}, check_model=False)
"""
    ours = """
import hx_extractor
def run():
    hx_extractor.load("large.onnx").extract("h.12.mlp").save("ours/mlp.onnx")
"""
    (folder / "ours").mkdir(exist_ok=True)
    runs = [(measure(theirs, folder, 1), measure(ours, folder, 1)) for _ in range(3)]
    their_s, our_s = (statistics.median(run[i]["times"][0] for run in runs) for i in (0, 1))
    their_kib, our_kib = (statistics.median(run[i]["grown_kib"] for run in runs) for i in (0, 1))
    return [
        ("extract, time: onnx.utils / hx", f"{their_s:.2f} s / {our_s:.3f} s", f"{their_s / our_s:.1f}", ">= 20"),
        (
            "extract, memory beyond imports: onnx.utils / hx",
            f"{their_kib / 1024:.0f} MB / {our_kib / 1024:.0f} MB",
            f"{their_kib / max(our_kib, 1):.1f}",
            ">= 20",
        ),
    ]


def bench_attribute(folder: Path) -> list[Row]:
    """Owners, consumers and the sidecar of a 100,000-node graph against loading it."""
    import numpy as np
    import onnx_ir as ir

    from hx_projector import project
    from hx_sidecar_schema import Module, ModuleCall, ModuleContext, Port, Provenance

    layers, blocks, width = 500, 4, 50
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", 8]))
    nodes, initializers, origins = [], [], {}
    modules = [Module(fqn="", class_name="m.Net", tag="/Net", tagged=True)]
    calls: list[dict[str, Any]] = [{"module": 0, "parent": None, "first": "x"}]
    value = x
    for layer in range(layers):
        modules.append(
            Module(fqn=f"layer.{layer}", class_name="m.Layer", tag=f"/Net/Layer.{layer}", tagged=True, parent=0)
        )
        layer_row, layer_module = len(calls), len(modules) - 1
        calls.append({"module": layer_module, "parent": 0, "first": value.name})
        for block in range(blocks):
            modules.append(
                Module(
                    fqn=f"layer.{layer}.block{block}",
                    class_name="m.Block",
                    tag=f"/Net/Layer.{layer}/Block.block{block}",
                    tagged=True,
                    parent=layer_module,
                )
            )
            row = len(calls)
            calls.append({"module": len(modules) - 1, "parent": layer_row, "first": value.name})
            weight = ir.Value(
                name=f"layer.{layer}.block{block}.weight",
                type=ir.TensorType(ir.DataType.FLOAT),
                shape=ir.Shape([8]),
                const_value=ir.Tensor(np.full(8, 0.5, np.float32)),
            )
            initializers.append(weight)
            for step in range(width):
                out = ir.Value(
                    name=f"val_{len(nodes)}", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", 8])
                )
                read = [value, weight] if step % 2 else [value, value]
                nodes.append(ir.Node("", "Mul" if step % 2 else "Add", read, outputs=[out], name=f"node_{out.name}"))
                origins[out.name] = [row]
                value = out
            calls[row]["last"] = value.name
        calls[layer_row]["last"] = value.name
    calls[0]["last"] = value.name
    graph = ir.Graph([x], [value], nodes=nodes, initializers=initializers, opset_imports={"": 20}, name="main_graph")
    ir.save(ir.Model(graph, ir_version=10), folder / "synthetic.onnx")

    def port(name: str, carrier: str) -> Port:
        return Port(name=name, value=carrier, dtype="FLOAT", shape=["batch", 8])

    context = ModuleContext(
        generator=Provenance(),
        modules=modules,
        calls=[
            ModuleCall(
                module=call["module"],
                index=0,
                parent=call["parent"],
                inputs=[port("x", call["first"])],
                outputs=[port("output", call["last"])],
            )
            for call in calls
        ],
        origins=origins,
    )
    loads, projections = [], []
    for _ in range(5):
        start = time.perf_counter()
        model = ir.load(folder / "synthetic.onnx")
        loads.append(time.perf_counter() - start)
        start = time.perf_counter()
        sidecar = project(model, context, file="synthetic.onnx")
        sidecar.save(folder / "synthetic_hierarchy.json")
        projections.append(time.perf_counter() - start)
    load_s, project_s = statistics.median(loads), statistics.median(projections)
    size = (folder / "synthetic_hierarchy.json").stat().st_size / len(nodes)
    return [
        (
            f"attribute {len(nodes):,} nodes: hx / onnx_ir.load",
            f"{project_s:.2f} s / {load_s:.2f} s",
            f"{project_s / load_s:.2f}",
            "<= 0.5",
        ),
        ("sidecar, bytes a node", f"{size:.0f}", f"{size:.0f}", "<= 200"),
    ]


PROFILE = """
import tempfile, time
import hx, onnxruntime
def plain(file, feeds):
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, folder + "/profile"
        session = onnxruntime.InferenceSession(file, options)
        for _ in range(23):
            session.run(None, feeds)
        session.end_profiling()
def seconds(call, *args):
    start = time.perf_counter()
    call(*args)
    return time.perf_counter() - start
def run():
    pairs = []
    for file in ("tiny.onnx", "small.onnx"):
        feeds = hx.load(file).example_inputs()
        pairs.append([(seconds(plain, file, feeds), seconds(hx.profile, file)) for _ in range(8)][1:])
    return pairs
"""


def bench_profile(folder: Path) -> list[Row]:
    """`hx.profile` against ONNX Runtime's own profiling of 23 runs, imports aside: a tiny BERT, and GPT-2 small."""
    export("tiny:bert", "tiny.onnx", folder)
    export("models.py:gpt2_small", "small.onnx", folder)
    rows = []
    for name, pairs in zip(("a tiny BERT", "GPT-2 small"), measure(PROFILE, folder, 1)["result"], strict=True):
        plain, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(ours / plain for plain, ours in pairs)
        rows.append(
            (f"profile of {name}: hx / ONNX Runtime", f"{ours:.2f} s / {plain:.2f} s", f"{ratio:.2f}", "<= 1.15")
        )
    return rows


def bench_help(folder: Path) -> list[Row]:
    """`hx --help`."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        words = [sys.executable, "-m", "hx_cli", "--help"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=ENVIRONMENT)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    return [("hx --help", f"{seconds:.2f} s", f"{seconds:.2f}", "< 0.3")]


BENCHMARKS = {
    "export": bench_export,
    "extract": bench_extract,
    "attribute": bench_attribute,
    "profile": bench_profile,
    "help": bench_help,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], default=[])
    names = parser.parse_args().names or list(BENCHMARKS)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models.py").write_text(MODELS)
        for benchmark in names:
            rows += BENCHMARKS[benchmark](folder)
            print(*rows[-1], sep=" | ", flush=True)
    text = table(("what", "measured", "ratio", "target"), rows)
    print(text)
    if len(names) == len(BENCHMARKS):
        (HERE.parent / "docs" / "benchmarks" / "cost.md").write_text(f"# Cost\n\n{machine()}\n\n{text}\n")


if __name__ == "__main__":
    main()
