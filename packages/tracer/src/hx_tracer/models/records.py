"""The module tree as records: names, classes, signatures, parameters; no tensors and no modules."""

import inspect
import json
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from hx_sidecar_schema import HxError, Module, TorchNN, build_tags, is_tagged
from hx_tracer.models.factory import FILE_MODULES
from hx_tracer.models.settings import Settings
from hx_tracer.watch.ports import forward_signature


def module_records(model: torch.nn.Module, torch_nn: TorchNN = "default") -> list[Module]:
    """Return one record for each module, parents before children; `torch_nn` classes give tags of their own."""
    found: dict[int, tuple[torch.nn.Module, list[str]]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        found.setdefault(id(module), (module, []))[1].append(name)
    rows = {name: row for row, (_, names) in enumerate(found.values()) for name in names}
    class_names = [_class_name(type(module)) for module, _ in found.values()]
    tags = build_tags([names[0] for _, names in found.values()], class_names)
    settings, parameters_of, records = Settings(), _Parameters(), list[Module]()
    for module, _ in reversed(found.values()):  # from below: modules may lie deep in each other
        settings.of(module)
        parameters_of.names(module)
    for (module, (fqn, *aliases)), class_name, tag in zip(found.values(), class_names, tags, strict=True):
        signature = forward_signature(module)
        parameters = [] if signature is None else signature.parameters.values()
        records.append(
            Module(
                fqn=fqn,
                class_name=class_name,
                tag=tag,
                tagged=is_tagged(class_name, torch_nn) or not fqn,
                parent=rows[fqn.rpartition(".")[0]] if fqn else None,
                aliases=aliases,
                forward_args=[p.name for p in parameters],
                forward_defaults={p.name: value for p in parameters for value in _default(p)},
                parameters=list(parameters_of.names(module).values()),
                direct_parameters=[name for name, _ in module.named_parameters(recurse=False)],
                children={name: type(child).__name__ for name, child in module.named_children()},
                settings=settings.of(module),
            )
        )
    return records


def _class_name(found: type) -> str:
    """Return the qualified name of a class; one of a factory's file has the name of that file before it."""
    home = found.__module__
    if home.startswith(FILE_MODULES):
        home = Path(str(sys.modules[home].__file__)).stem
    return f"{home}.{found.__name__}"


def check_torch_nn(torch_nn: TorchNN) -> None:
    """Stop where a name is that of no class of `torch.nn`, so that it would tag nothing: HX406."""
    known = {one.__name__ for one in _below(torch.nn.Module) if one.__module__.startswith("torch.nn.")}
    for name in [] if isinstance(torch_nn, str) else torch_nn:
        if name not in known:
            raise HxError(
                f"{name!r} is no module class of torch.nn; the closest are {', '.join(get_close_matches(name, known, cutoff=0))}.",
                code="HX406",
                hint="Modules of other classes have tags in any case; name classes of torch.nn.",
                argument="torch_nn",
            )


def _below(one: type[torch.nn.Module]) -> Iterator[type[torch.nn.Module]]:
    for other in one.__subclasses__():
        yield other
        yield from _below(other)


class _Parameters:
    """Names of all parameters below modules, each once: `named_parameters` (torch 2.13) walks all levels for every name."""

    def __init__(self) -> None:
        self._found: dict[int, dict[int, str]] = {}

    def names(self, module: torch.nn.Module) -> dict[int, str]:
        """Return them as `named_parameters` does, relative to the module, by the ids of the parameters."""
        if id(module) not in self._found:
            names = {id(parameter): name for name, parameter in module.named_parameters(recurse=False)}
            for attribute, child in module.named_children():
                for key, name in self.names(child).items():
                    names.setdefault(key, f"{attribute}.{name}")
            self._found[id(module)] = names
        return self._found[id(module)]


def _default(parameter: inspect.Parameter) -> Iterator[Any]:
    """Yield the value of a parameter that nothing is passed for, where it has one: `*args` is empty then."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        yield []
    elif parameter.kind is parameter.VAR_KEYWORD:
        yield {}
    elif parameter.default is not parameter.empty:
        yield _json_safe(parameter.default)


def _json_safe(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)
    return value
