"""Models whose files are opened in viewers, and all that hx writes of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, parser

import hx

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=http://elsewhere.example/x onerror=alert(2)>",
    "a\"b'c`${1}\\",
    "red\x1b[31m",
    "left\u202eright",
    "\u2028\n\t",
    "x" * 10_000,
    "a/b",
    "__proto__",
    "模块",
)
"""Names that modules, nodes and values have in the model `hostile`."""
LARGE = 20_000
"""Nodes of the model `large`."""


class Block(torch.nn.Module):
    """A layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = torch.nn.Linear(8, 8), torch.nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        return self.norm(torch.relu(self.inner(x)) + x)


class Branching(torch.nn.Module):
    """A recurrence, and a branch with modules in it."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.rnn = Block(), torch.nn.GRU(8, 8, batch_first=True)
        self.one, self.other = Block(), Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        x = self.rnn(self.block(self.block(x)))[0]
        return torch.cond(x.sum() > 0, lambda x: self.one(x), lambda x: self.other(x), (x,))


@dataclass(frozen=True)
class Written:
    """What hx wrote of one model."""

    name: str
    hierarchy: hx.Hierarchy
    folder: Path
    profile: hx.Profile | None = None

    @property
    def model(self) -> Path:
        """The model; its sidecar is embedded if it was exported here."""
        return self.folder / f"{self.name}.onnx"

    @property
    def parts(self) -> list[Path]:
        """Models that were cut out."""
        return sorted((self.folder / f"{self.name}-parts").glob("*.onnx"))

    @property
    def functions(self) -> list[Path]:
        """The model with functions for its calls, where it was exported here."""
        return sorted(self.folder.glob(f"{self.name}-functions.onnx"))

    @property
    def speedscope(self) -> Path:
        """The profile for speedscope."""
        return self.folder / f"{self.name}.speedscope.json"

    @property
    def trace(self) -> Path:
        """The profile for Perfetto."""
        return self.folder / f"{self.name}.trace.json"

    @property
    def page(self) -> Path:
        """Of `hx report`."""
        return self.folder / f"{self.name}.html"

    @property
    def explorer(self) -> Path:
        """Files for Model Explorer."""
        return self.folder / self.name


def write(name: str, folder: Path) -> Written:
    """Make one of `MODELS`, take all numbers of it that are quickly had, and write what viewers read."""
    hierarchy = MODELS[name](folder / f"{name}.onnx")
    written = Written(name, hierarchy, folder)
    records: dict[str, Any] = {}
    if len(hierarchy.sidecar.nodes) < LARGE:
        files = {"speedscope": written.speedscope, "chrome": written.trace}
        records["profile"] = hx.profile(hierarchy, runs=5, files=files)
        records["analyze"] = hx.analyze(hierarchy, detailed=True)
        inside = [call.tag for call in hierarchy.root.children if call.status == "extractable"]
        if isinstance(hierarchy, hx.Export):
            records["verify"] = hx.verify(hierarchy)
            hx.extract(hierarchy, inside[:2], output=folder / f"{name}-parts", verify=False)
            hx.functionize(hierarchy, folder / f"{name}-functions.onnx")
    hx.view(hierarchy, written.explorer, **records)
    hx.report(hierarchy, written.page, **records)
    return Written(name, hierarchy, folder, records.get("profile"))


def exported(model: Any, *args: Any) -> Callable[[Path], hx.Hierarchy]:
    """Return what exports a model with its sidecar embedded."""

    def make(target: Path) -> hx.Hierarchy:
        made = hx.export(model, args)
        made.save(target, embed=True)
        return made

    return make


def relinked(transform: Callable[[Path, Path], None]) -> Callable[[Path], hx.Hierarchy]:
    """Return what makes another model of one of `ORIGINALS` that is beside it, and relinks it."""

    def make(target: Path) -> hx.Hierarchy:
        source = target.with_name(f"{ORIGINALS[target.stem]}.onnx")
        transform(source, target)
        hx.relink(target, source)
        return hx.load(target)

    return make


def optimise(source: Path, target: Path) -> None:
    """Let ONNX Runtime fuse what it fuses."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def outline(source: Path, target: Path) -> None:
    """Put every Add of the main graph into a function."""
    model = onnx.load(source)
    model.functions.append(
        parser.parse_function(
            '<domain: "local", opset_import: ["" : 20]> Plus (a, b) => (c) { d = Add(a, b) c = Identity(d) }'
        )
    )
    model.opset_import.append(helper.make_opsetid("local", 1))
    for node in model.graph.node:
        if node.op_type == "Add":
            node.op_type, node.domain = "Plus", "local"
    onnx.save(model, target)


def hostile(target: Path) -> hx.Hierarchy:
    """Write and project a file in which everything has a name of `HOSTILE`; torch itself takes few of them."""
    graph = onnx.GraphProto(name=HOSTILE[0])
    last = f"{HOSTILE[0]}0"
    graph.input.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, [HOSTILE[1], 4]))
    for name in HOSTILE:
        for place, operator in enumerate(("Relu", "Add")):
            node = helper.make_node(operator, [last] * (1 + place), [f"{name}{operator}"], f"{name} {place}", name)
            scopes = ["", name, *[f"{name}.inner"] * place]
            for key, said in (("name_scopes", scopes), ("class_hierarchy", ["Net", *[name] * (1 + place)])):
                node.metadata_props.add(key=f"pkg.torch.onnx.{key}", value=str([*said, "operation"]))
            graph.node.append(node)
            last = node.output[0]
    graph.output.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, [HOSTILE[1], 4]))
    return _projected(graph, target)


def large(target: Path) -> hx.Hierarchy:
    """Write and project a file of `LARGE` nodes in 100 layers of 20 modules with 10 nodes each."""
    graph = onnx.GraphProto(name="main")
    graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4]))
    last = "x"
    for number in range(LARGE):
        scope = f"/layers.{number // 200}/blocks.{number // 10 % 20}"
        operator, inputs = ("Add", [last, "x"]) if number % 3 == 0 else ("Relu", [last])
        graph.node.append(helper.make_node(operator, inputs, [f"value_{number}"], f"{scope}/{operator}_{number}"))
        last = f"value_{number}"
    graph.output.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, [2, 4]))
    return _projected(graph, target)


def _projected(graph: onnx.GraphProto, target: Path) -> hx.Hierarchy:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), target)
    hx.project(target)
    return hx.load(target)


MODELS: dict[str, Callable[[Path], hx.Hierarchy]] = {
    "bert": exported("tiny:bert"),
    "branching": exported(Branching().eval(), torch.randn(2, 3, 8)),
    "optimised": relinked(optimise),
    "functions": relinked(outline),
    "hostile": hostile,
    "large": large,
}
"""What makes each, and writes it with its sidecar."""
ORIGINALS = {"optimised": "bert", "functions": "branching"}
"""Of each relinked model the one that it was made of; it stands before it."""
