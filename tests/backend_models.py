"""ONNX's own backend tests as files, and what hx makes of each: some 1,900 models, every operator among them."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import onnx
from fuzzing import timed

import hx

NAME = "m.onnx"
COMMANDS = (
    ["project", NAME],
    ["tree", NAME, "-a"],
    ["validate", NAME],
    ["extract", NAME, "--all", "-o", "parts"],
    ["compare", NAME, NAME],
)
NOT_OURS = {"V01", "V02"}
"""Findings about the model itself: ONNX's checker or ONNX Runtime does not take it."""


class Run(NamedTuple):
    """How one command on one model ended."""

    model: str
    command: str
    code: object
    seconds: float
    fault: str
    """What is wrong with that; empty where nothing is."""


@cache
def models() -> dict[str, onnx.ModelProto]:
    """Return the models of all cases by name: those of single operators, and small whole ones."""
    from onnx.backend.test.case import model as whole, node as single

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases divide by zero on purpose
        cases = [*single.collect_testcases(None), *whole.collect_testcases()]
    return {case.name: case.model for case in cases if case.model is not None}


def with_modules(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose nodes are named as an exporter names those of modules: each node the only one of its module."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for number, node in enumerate(_nodes(copy.graph)):
        node.name = f"/m{number}/{node.op_type}"
    return copy


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(body)


def run_commands(name: str, model: onnx.ModelProto, work: Path) -> Iterator[Run]:
    """Run all commands on a model in an empty folder, which is the current one meanwhile; parts are validated too."""
    with contextlib.chdir(work):
        onnx.save(model, NAME)
        refused = False
        for command in COMMANDS:
            code, seconds, said = timed(command)
            fault = _fault(command[0], code, said)
            refused |= command[0] == "validate" and code == 1 and not fault
            if command[0] == "extract" and code == 1 and refused:
                fault = ""  # no part could be compared
            yield Run(name, command[0], code, seconds, fault)
            if command[0] == "project" and code != 0:
                break
        for part in sorted(Path("parts").rglob("*.onnx")):
            fault = _findings(part)
            yield Run(name, "validate parts", int(bool(fault)), 0.0, fault)
        for entry in Path.cwd().iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _fault(verb: str, code: object, said: str) -> str:
    """Say what is wrong with how a command ended: only `project` and `extract` may refuse a valid model, with a code."""
    if code == 0 or (code == 2 and verb in ("project", "extract") and "HX700" not in said):
        return ""
    if verb == "extract" and code == 1 and "Could not find an implementation" in said:
        return ""  # ONNX Runtime has no kernel for its types
    return _findings(Path(NAME)) if verb == "validate" and code == 1 else f"{code}: {said}"


def _findings(path: Path) -> str:
    return ", ".join(sorted({one.code for one in hx.validate(path).findings} - NOT_OURS))
