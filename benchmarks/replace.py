"""Parts in the place of every call: `uv run python benchmarks/replace.py [MODEL ...]`.

Every extractable call of each model is replaced by its own extraction, which must change nothing; and by one whose outputs are scaled,
which must be the PyTorch model with a forward hook that scales them. The table goes to stdout and docs/benchmarks/replace.md.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from functions import MODELS, test_bodies
from measuring import HERE, machine, table

import hx
from hx_graph import drawing_nodes, make_session, nodes_in, run_session
from hx_projector import structural_digest
from hx_surgery import Part, replace

TINY = (
    "tiny:albert",
    "tiny:bart",
    "tiny:clip",
    "tiny:deberta-v2",
    "tiny:gpt2, dynamic",
    "tiny:llama",
    "tiny:mamba",
    "tiny:resnet",
    "tiny:swin",
    "tiny:t5, dynamic",
    "tiny:whisper",
)
BODIES = {make.__name__ for make in test_bodies.CASES}  # PyTorch compiles them, and no hook counts calls there
NAMES = [name for name in MODELS if name in TINY or (name not in BODIES and re.fullmatch(r"[a-z_]+", name))]
SCALE = 1.25
FLOATS = (torch.float16, torch.float32, torch.float64)


def scaled(model: ir.Model) -> ir.Model:
    """Return a model whose floating-point outputs are larger."""
    copy = model.clone()
    for index, value in enumerate(copy.graph.outputs):
        if value.dtype is None or not value.dtype.is_floating_point() or not isinstance(value.type, ir.TensorType):
            continue
        number = ir.node("Constant", [], {"value": ir.Tensor(np.array(SCALE, value.dtype.numpy()))})
        product = ir.node("Mul", [value, number.outputs[0]])
        number.outputs[0].name, product.outputs[0].name = f"scale_{index}", value.name
        product.outputs[0].type, product.outputs[0].shape = value.type, value.shape
        value.name = f"unscaled_{index}"
        copy.graph.extend([number, product])
        copy.graph.outputs[index] = product.outputs[0]
    return copy


def larger(value: Any) -> Any:
    """Return a result of a module whose floating-point tensors are larger."""
    if isinstance(value, torch.Tensor):
        return value * SCALE if value.dtype in FLOATS else value
    if isinstance(value, dict):
        return type(value)({key: larger(one) for key, one in value.items()})
    if isinstance(value, tuple | list):
        return type(value)(*map(larger, value)) if hasattr(value, "_fields") else type(value)(map(larger, value))
    if dataclasses.is_dataclass(value):
        changed = {field.name: larger(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **changed)
    return value


@contextmanager
def scaling(module: torch.nn.Module, index: int) -> Iterator[None]:
    """Scale what one call of a module returns; in place where that is an argument which it changed."""
    calls, before = iter(range(10**6)), list[tuple[torch.Tensor, int]]()

    def began(_module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        before[:] = [(one, one._version) for one in tensors([args, kwargs])]

    def ended(_module: torch.nn.Module, _args: Any, result: Any) -> Any:
        if next(calls) != index:
            return None
        if any(result is one and one._version > version for one, version in before):
            return result.mul_(SCALE)
        return larger(result)

    hooks = [module.register_forward_pre_hook(began, with_kwargs=True), module.register_forward_hook(ended)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of a result."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from tensors(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from tensors(one)


def row(name: str) -> tuple[str, ...]:
    """Replace every call of one model."""
    torch.manual_seed(0)
    model = MODELS[name]()
    feeds = model.example_inputs()
    draws = bool(drawing_nodes(node for _, node in nodes_in(model.model.graph)))
    before = run_session(make_session(model.model, None), feeds)
    digest, found = structural_digest(model.model), Counter[str]()
    example = model.loaded.example
    calls = [call for call in model if call.status == "extractable" and call.fqn]
    for call in calls:
        part = call.extract().model
        own = replace(model, [call.row], Part(part, "own.onnx"), file="x.onnx").model
        found["same"] += structural_digest(own) == digest
        if not draws:
            after = run_session(make_session(own, None), feeds)
            found["equal"] += all(np.array_equal(after[key], before[key], equal_nan=True) for key in before)
        try:
            other = replace(model, [call.row], Part(scaled(part), "other.onnx"), file="x.onnx").model
        except hx.HxError as error:
            found["refused"] += 1
            print(name, call.tag, error.message, sep="  ", file=sys.stderr)
            continue
        if draws:
            continue
        outputs = run_session(make_session(other, None), feeds)
        with scaling(model.module.get_submodule(call.fqn), call.index), torch.no_grad():
            wanted = [t.numpy() for t in tensors(model.module(*example.args, **example.kwargs))]
        right = len(wanted) == len(outputs) and all(
            np.allclose(one, two, *(2e-2, 1e-3) if two.dtype == np.float16 else (1e-3, 1e-5), equal_nan=True)
            for one, two in zip(outputs.values(), wanted, strict=True)
        )
        found["right" if right else "wrong"] += 1
        if not right:
            print("WRONG", name, call.tag, file=sys.stderr)
    numbers = (found[key] for key in ("same", "equal", "right", "refused", "wrong"))
    return (name, str(len(calls)), *map(str, numbers))


def main() -> None:
    """Print the table and write it."""
    names = sys.argv[1:] or NAMES
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    rows = []
    for name in names:
        rows.append(row(name))
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    total = [str(sum(int(cells[column]) for cells in rows)) for column in range(1, len(rows[0]))]
    rows.append(("all", *total))
    head = ("model", "calls", "same", "equal", "right", "refused", "wrong")
    text = f"""# Parts in the place of calls

{machine()[:-1]}. `benchmarks/replace.py` makes this page.

Each extractable `call` of {len(names)} models is replaced

* by its own extraction: the topology is the `same`, the outputs in ONNX Runtime are `equal` bit for bit (not asked of models that draw random numbers);
* by one whose outputs are {SCALE} times as large: the outputs are those of the PyTorch model with a forward hook that makes them so (`right`), or
  `hx replace` says why it cannot (`refused`), or they are others (`wrong`). A module that changes its argument in place and returns it does so with the
  part's result.

{table(head, rows)}
"""
    print(text)
    if len(names) == len(NAMES):
        (HERE.parent / "docs" / "benchmarks" / "replace.md").write_text(text)


if __name__ == "__main__":
    main()
