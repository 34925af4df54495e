"""What a tracer would have seen, made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from hx_sidecar_schema import (
    Example,
    Initializer,
    Module,
    ModuleCall,
    ModuleContext,
    Port,
    Provenance,
    RecoveredNode,
    build_tags,
)

ContextByHand = Callable[..., ModuleContext]


def _port(name: str, spec: Any, weights: frozenset[str], unused: Sequence[str]) -> Port:
    carrier, shape = spec if isinstance(spec, tuple) else (spec, [2, 3])
    return Port(
        name=name,
        value=None if carrier in weights else carrier,
        initializer=carrier if carrier in weights else None,
        dtype="FLOAT",
        shape=list(shape),
        unused=name in unused,
    )


def _context_by_hand(
    calls: Sequence[Mapping[str, Any]],
    *,
    origins: Mapping[str, list[int]] | None = None,
    parameters: Mapping[str, str | None] | None = None,
    modules: Sequence[str] = (),
    dead: Sequence[int] = (),
    folded: Sequence[int] = (),
    recovered: Sequence[RecoveredNode] = (),
    examples: Mapping[str, Example] | None = None,
    containers: Sequence[str] = (),
) -> ModuleContext:
    """Make a context.

    Args:
        calls: The root first. Each has `fqn`, and may have `inputs` and `outputs` (port name to value, or to value
            and shape; None where it is lost), `index`, `parent` (row), `unused` (port names), `recovered`.
        origins: First output of a node to the calls that ran it.
        parameters: Initializer to parameter.
        modules: Fully qualified names of modules that were not called.
        dead: Rows of calls whose results reach nothing.
        folded: Rows of calls whose results depend on no input.
        recovered: Nodes that a call may need.
        examples: Recorded inputs.
        containers: Fully qualified names of modules that are ModuleLists.
    """
    fqns = list(dict.fromkeys([*(spec["fqn"] for spec in calls), *modules]))
    classes = [
        "torch.nn.modules.container.ModuleList"
        if fqn in containers
        else f"net.{fqn.rpartition('.')[2].title() or 'Net'}"
        for fqn in fqns
    ]
    weights = frozenset(parameters or {})
    return ModuleContext(
        generator=Provenance(),
        modules=[
            Module(fqn=fqn, class_name=class_name, tag=tag, tagged=True)
            for fqn, class_name, tag in zip(fqns, classes, build_tags(fqns, classes), strict=True)
        ],
        calls=[
            ModuleCall(
                module=fqns.index(spec["fqn"]),
                index=spec.get("index", 0),
                parent=spec.get("parent", 0) if row else None,
                inputs=[_port(n, p, weights, spec.get("unused", ())) for n, p in spec.get("inputs", {}).items()],
                outputs=[_port(n, p, weights, spec.get("unused", ())) for n, p in spec.get("outputs", {}).items()],
                recovered=spec.get("recovered", []),
            )
            for row, spec in enumerate(calls)
        ],
        origins=dict(origins or {}),
        dead_calls=list(dead),
        folded_calls=list(folded),
        recovered=list(recovered),
        initializers=[Initializer(name=name, parameter=fqn) for name, fqn in (parameters or {}).items()],
        examples=dict(examples or {}),
    )


@pytest.fixture(scope="session")
def context_by_hand() -> ContextByHand:
    return _context_by_hand
