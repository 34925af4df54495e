"""The module tree as records: names, classes, signatures, parameters; no tensors and no modules."""

from __future__ import annotations

import inspect
import json
from typing import Any

import torch

from hx_sidecar_schema import Module, TorchNN, build_tags, is_tagged
from hx_tracer.watch.ports import forward_signature


def module_records(model: torch.nn.Module, torch_nn: TorchNN = "default") -> list[Module]:
    """Return one record for each module, parents before children; `torch_nn` classes give tags of their own."""
    names: dict[int, list[str]] = {}
    modules: list[torch.nn.Module] = []
    for name, module in model.named_modules(remove_duplicate=False):
        if id(module) not in names:
            modules.append(module)
        names.setdefault(id(module), []).append(name)

    fqns = [names[id(module)][0] for module in modules]
    classes = [type(module) for module in modules]
    class_names = [f"{one.__module__}.{one.__name__}" for one in classes]
    rows = {fqn: row for row, fqn in enumerate(fqns)}
    first_name = {alias: aliases[0] for aliases in names.values() for alias in aliases}
    tags = build_tags(fqns, class_names)
    records: list[Module] = []
    for module, fqn, class_name, tag in zip(modules, fqns, class_names, tags, strict=True):
        args, defaults = _signature(module)
        parent = fqn.rpartition(".")[0]
        records.append(
            Module(
                fqn=fqn,
                class_name=class_name,
                tag=tag,
                tagged=is_tagged(class_name, torch_nn) or not fqn,
                parent=None if not fqn else rows[first_name[parent]],
                aliases=names[id(module)][1:],
                forward_args=args,
                forward_defaults=defaults,
                parameters=[name for name, _ in module.named_parameters()],
                direct_parameters=[name for name, _ in module.named_parameters(recurse=False)],
                children={name: type(child).__name__ for name, child in module.named_children()},
            )
        )
    return records


def _signature(module: torch.nn.Module) -> tuple[list[str], dict[str, Any]]:
    signature = forward_signature(module)
    if signature is None:
        return [], {}
    parameters = signature.parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return [p.name for p in parameters], {name: _json_safe(value) for name, value in defaults.items()}


def _json_safe(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)
    return value
