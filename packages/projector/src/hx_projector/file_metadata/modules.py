"""The module tree that names in a file imply: `encoder.layer.0.weight` is a weight of a module in a list in another."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from hx_sidecar_schema import Module, build_tags, simple_name

MODULE_LIST = "torch.nn.modules.container.ModuleList"


def parent_name(name: str) -> str:
    """Return the qualified name of the module that a module or parameter belongs to; empty for the root."""
    return name.rpartition(".")[0]


def is_parameter(name: str) -> bool:
    """Say whether a weight goes by the name of a parameter; those that exporters make are `onnx::MatMul_12`, `val_3`."""
    return "." in name and "::" not in name and not name.startswith("/")


def with_ancestors(names: Iterable[str]) -> list[str]:
    """Return qualified names of modules with all modules above them: the root first, parents before children."""
    children: dict[str, list[str]] = {}
    seen = {""}
    for fqn in names:
        parts = fqn.split(".") if fqn else []
        for depth in range(len(parts)):
            name = ".".join(parts[: depth + 1])
            if name not in seen:
                seen.add(name)
                children.setdefault(parent_name(name), []).append(name)
    ordered: list[str] = []
    pending = [""]
    while pending:
        name = pending.pop()
        ordered.append(name)
        pending += reversed(children.get(name, []))
    return ordered


def modules_of(
    fqns: list[str],
    classes: Mapping[str, str],
    module_of_weight: Mapping[str, str],
    called: Collection[str],
    root_class: str,
) -> list[Module]:
    """Return the modules of a tree.

    A module whose class is not known is a ModuleList where it was not called and its children are numbered; another one
    goes by its attribute's name.

    Args:
        fqns: Qualified names, parents before children.
        classes: Class names by qualified names, where they are known.
        module_of_weight: Modules that parameters belong to, by the parameters' names.
        called: Modules that nodes or weights name.
        root_class: Class of the root, where it is not known.
    """
    children: dict[str, list[str]] = {}
    for fqn in fqns[1:]:
        children.setdefault(parent_name(fqn), []).append(fqn)

    def class_of(fqn: str) -> str:
        if fqn in classes:
            return classes[fqn]
        if not fqn:
            return root_class
        below = children.get(fqn, [])
        if below and fqn not in called and all(_attribute(child).isdigit() for child in below):
            return MODULE_LIST
        parts = fqn.split(".")
        return next((part for part in reversed(parts) if not part.isdigit()), parts[-1])

    rows = {fqn: row for row, fqn in enumerate(fqns)}
    names = [class_of(fqn) for fqn in fqns]
    own: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for weight, owner in module_of_weight.items():
        own.setdefault(owner, []).append(_attribute(weight))
        parts = weight.split(".")
        for depth in range(len(parts)):
            below.setdefault(".".join(parts[:depth]), []).append(".".join(parts[depth:]))
    return [
        Module(
            fqn=fqn,
            class_name=name,
            tag=tag,
            tagged=True,
            parent=rows[parent_name(fqn)] if fqn else None,
            parameters=below.get(fqn, []),
            direct_parameters=own.get(fqn, []),
            children={_attribute(child): simple_name(names[rows[child]]) for child in children.get(fqn, [])},
        )
        for fqn, name, tag in zip(fqns, names, build_tags(fqns, names), strict=True)
    ]


def _attribute(name: str) -> str:
    return name.rpartition(".")[2]
