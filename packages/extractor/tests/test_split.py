"""The law of extraction: the calls of a model, each cut out and run after each other, are the model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings, strategies as st

from hx_extractor import Hierarchy

ExportByHand = Callable[..., Hierarchy]

UNARY = ("Relu", "Neg", "Abs", "Tanh", "Floor", "Identity")
BINARY = ("Add", "Sub", "Mul", "Max")
WEIGHTS = {"w0": [0.5, -1.5, 2.0], "w1": [3.0, 0.25, -0.125]}
X = np.array([[1.0, -2.0, 0.5], [4.0, 0.0, -0.75]], dtype=np.float32)


@dataclass(frozen=True)
class Graph:
    """A graph of small elementwise nodes and where it is cut into consecutive calls."""

    lines: list[str]
    reads: list[list[int]]
    """For each value, the values that it is computed from: 0 is the input, n is the result of node n."""
    cuts: list[int]
    """First node of each call."""


@st.composite
def graphs(draw: st.DrawFn, *, chain: bool) -> Graph:
    count = draw(st.integers(2, 9))
    lines: list[str] = []
    reads: list[list[int]] = [[]]
    for number in range(1, count + 1):
        first = number - 1 if chain else draw(st.integers(0, number - 1))
        others = sorted(WEIGHTS) if chain else [*sorted(WEIGHTS), *(f"v{i}" for i in range(number))]
        operator = draw(st.sampled_from(UNARY + BINARY))
        arguments = [f"v{first}"]
        if operator in BINARY:
            arguments.append(draw(st.sampled_from(others)))
        if draw(st.booleans()):
            arguments.reverse()
        lines.append(f"v{number} = {operator}({', '.join(arguments)})")
        reads.append([int(name[1:]) for name in arguments if name.startswith("v")])
    cuts = draw(st.sets(st.integers(2, count)))
    return Graph(lines, reads, [1, *sorted(cuts)])


def export(export_by_hand: ExportByHand, folder: Path, graph: Graph) -> Hierarchy:
    """Every value that leaves a call is one of its ports; names of ports are those of other inner values."""
    count = len(graph.lines)
    ends = [*graph.cuts[1:], count + 1]
    calls = [{"fqn": "", "inputs": {"x": "v0"}, "outputs": {"output": f"v{count}"}}]
    owners: dict[str, int] = {}
    for row, (start, end) in enumerate(zip(graph.cuts, ends, strict=True), start=1):
        owners.update((f"v{number}", row) for number in range(start, end))
        inputs = sorted({read for number in range(start, end) for read in graph.reads[number] if read < start})
        leaves = [
            number
            for number in range(start, end)
            if number == count or any(number in graph.reads[later] for later in range(end, count + 1))
        ]
        calls.append(
            {
                "fqn": f"part{row}",
                "inputs": {f"v{count - read}": f"v{read}" for read in inputs},
                "outputs": {f"output.{index}": f"v{number}" for index, number in enumerate(leaves)},
            }
        )
    weights = ", ".join(f"float[3] {name} = {{{', '.join(map(str, w))}}}" for name, w in WEIGHTS.items())
    text = f"""
    <ir_version: 10, opset_import: ["": 20]>
    main (float[2,3] v0) => (float[2,3] v{count})
    <{weights}>
    {{
      {chr(10).join(graph.lines)}
    }}
    """
    return export_by_hand(folder, text, calls, owners=owners, feeds={"v0": X})


def check(export_by_hand: ExportByHand, graph: Graph) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = export(export_by_hand, Path(folder), graph)
        whole = model.extract(0).run({"x": X})["output"]
        values = {"v0": X}
        for row in range(1, len(model.sidecar.calls)):
            call = model.sidecar.calls[row]
            if not call.outputs:  # nothing reads what it computes
                continue
            extraction = model.extract(row)
            result = extraction.run({port.name: values[str(port.value)] for port in call.inputs})
            values |= {str(port.value): result[port.name] for port in call.outputs}
        last = f"v{len(graph.lines)}"
        np.testing.assert_array_equal(values[last].view(np.uint32), whole.view(np.uint32))


SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(graph=graphs(chain=True))
def test_a_chain_of_extracted_calls_is_the_whole(export_by_hand: ExportByHand, graph: Graph) -> None:
    check(export_by_hand, graph)


@SETTINGS
@given(graph=graphs(chain=False))
def test_a_graph_of_extracted_calls_is_the_whole(export_by_hand: ExportByHand, graph: Graph) -> None:
    check(export_by_hand, graph)
