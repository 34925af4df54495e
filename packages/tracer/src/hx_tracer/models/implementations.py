"""Attention and experts of transformers models are computed in one of several ways; exporters cannot take them all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch

from hx_sidecar_schema import HxError

Kind = Literal["attn", "experts"]

_PLAIN: Mapping[Kind, tuple[str, ...]] = {"attn": ("eager",), "experts": ("batched_mm", "eager")}
"""Those written in ordinary torch operations, the likelier to be exported first."""


def set_implementation(module: torch.nn.Module, kind: Kind, name: str) -> None:
    """Choose how a transformers model computes its attention or its experts, in place.

    Args:
        module: The model, or a module that holds models of transformers.
        kind: `attn` or `experts`.
        name: As transformers names it: `eager`, `sdpa`, `batched_mm`, ...

    Raises:
        HxError: HX113 if no model in the module offers the choice, or none has that implementation.
    """
    switches = list(_switches(module, kind))
    if not switches:
        raise HxError(
            f"{type(module).__name__} has no model that lets --{kind} {name} be chosen.",
            code="HX113",
            hint=f"Leave --{kind} out; it is for models of transformers.",
        )
    try:
        for switch in switches:
            switch(name)
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise HxError(
            f"--{kind} {name} does not fit {type(module).__name__}: {reason}",
            code="HX113",
            hint=f"Try one of {', '.join(_PLAIN[kind])}.",
        ) from error


def find_remedy(module: torch.nn.Module, exports: Callable[[], bool]) -> dict[Kind, str]:
    """Return the choice of implementations with which a model that was refused is exported; empty if none is.

    Args:
        module: Changed while this runs, and then as it was.
        exports: Says whether the model as it is now is exported.
    """
    for choice in _choices(module):
        with _restored(module):
            try:
                for kind, name in choice.items():
                    set_implementation(module, kind, name)
            except HxError:
                continue
            if exports():
                return choice
    return {}


def _choices(module: torch.nn.Module) -> Iterator[dict[Kind, str]]:
    singles: list[dict[Kind, str]] = []
    for kind, names in _PLAIN.items():
        can = f"_can_set_{kind}_implementation"
        if not any(getattr(part, can, bool)() for part in module.modules()):
            continue  # transformers has the setter, and a default, on models without experts too
        used = {getattr(config, f"_{kind}_implementation", None) for config in _configs(module)} - {None}
        for name in names:
            if used - {name} and any(_switches(module, kind)):
                single: dict[Kind, str] = {kind: name}
                singles.append(single)
    yield from singles
    both: dict[Kind, str] = {}
    for single in reversed(singles):  # the likeliest of a kind comes first, and stays
        both |= single
    if len(both) > 1:
        yield both


def _switches(module: torch.nn.Module, kind: Kind) -> Iterator[Callable[[str], None]]:
    """The setters of the outermost models that have one."""
    switch = getattr(module, f"set_{kind}_implementation", None)
    if switch is not None:
        yield switch
        return
    for child in module.children():
        yield from _switches(child, kind)


def _configs(module: torch.nn.Module) -> list[Any]:
    found = {id(config): config for part in module.modules() if (config := getattr(part, "config", None))}
    return list(found.values())


@contextmanager
def _restored(module: torch.nn.Module) -> Generator[None]:
    before = [
        (config, key, value)
        for config in _configs(module)
        for key, value in vars(config).items()
        if key.endswith("_implementation_internal")
    ]
    try:
        yield
    finally:
        for config, key, value in before:
            setattr(config, key, value)
