"""Choosing how transformers models compute attention and experts: exporters refuse some of the implementations."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal

import torch

from hx_sidecar_schema import HxError, first_line
from hx_tracer.inputs.config_sizes import config_of

Kind = Literal["attn", "experts"]

_PLAIN: Mapping[Kind, tuple[str, ...]] = {"attn": ("eager",), "experts": ("batched_mm", "eager")}
"""Those written in ordinary torch operations, the likeliest to be exported first."""


def set_implementation(module: torch.nn.Module, kind: Kind, name: str) -> None:
    """Set how the transformers models in a module compute attention or experts, in place.

    Args:
        module: The model, or a module that holds models of transformers.
        kind: `attn` or `experts`.
        name: As transformers names it: `eager`, `sdpa`, `batched_mm`, ...

    Raises:
        HxError: HX113 if no model in the module offers the choice, or none has that implementation.
    """
    setters = list(_setters(module, kind))
    if not setters:
        raise HxError(
            f"{type(module).__name__} has no model that lets {kind}={name!r} be chosen.",
            code="HX113",
            hint=f"Leave {kind}={name!r} out; it is for models of transformers.",
            argument=kind,
        )
    try:
        for set_kind in setters:
            set_kind(name)
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise HxError(
            f"{kind}={name!r} does not fit {type(module).__name__}: {first_line(error)}",
            code="HX113",
            hint=f"Try one of {', '.join(_PLAIN[kind])}.",
            argument=kind,
        ) from error


def find_remedy(
    module: torch.nn.Module, export: Callable[[], object], tell: Callable[[str], object], reason: str
) -> dict[Kind, str]:
    """Return implementations by kind with which a refused model is exported; empty if none of those tried helps.

    They are changed while this runs, and restored; `export` exports the model as it then is. `tell` is called with what
    is tried: first what stands for an implementation that the `reason` of the refusal names.
    """
    for choice in _choices(module, reason):
        with _restored(module):
            try:
                for kind, name in choice.items():
                    set_implementation(module, kind, name)
            except HxError:
                continue
            tell("with " + " and ".join(f"{kind}={name}" for kind, name in choice.items()))
            with suppress(Exception), torch.no_grad():  # the first error is the one that is reported
                export()
                return choice
    return {}


def _choices(module: torch.nn.Module, reason: str) -> Iterator[dict[Kind, str]]:
    singles: list[dict[Kind, str]] = []
    named: set[str] = set()
    for kind, names in _PLAIN.items():
        can = f"_can_set_{kind}_implementation"
        if not any(getattr(part, can, bool)() for part in module.modules()):
            continue  # transformers has the setter, and a default, on models without experts too
        used = {getattr(config, f"_{kind}_implementation", None) for config in _configs(module)} - {None}
        named |= {kind for name in used if name in reason}
        if any(_setters(module, kind)):
            singles.extend({kind: name} for name in names if used - {name})
    yield from sorted(singles, key=named.isdisjoint)
    both: dict[Kind, str] = {}
    for single in reversed(singles):  # the likeliest of a kind comes first, and stays
        both |= single
    if len(both) > 1:
        yield both


def _setters(module: torch.nn.Module, kind: Kind) -> Iterator[Callable[[str], None]]:
    """Yield the setters of the outermost models that have one."""
    setter = getattr(module, f"set_{kind}_implementation", None)
    if setter is not None:
        yield setter
        return
    for child in module.children():
        yield from _setters(child, kind)


def _configs(module: torch.nn.Module) -> list[Any]:
    return [config for part in module.modules() if (config := config_of(part)) is not None]


@contextmanager
def _restored(module: torch.nn.Module) -> Generator[None]:
    with ExitStack() as stack:
        for config in _configs(module):
            for name in [name for name in vars(config) if name.endswith("_implementation_internal")]:
                stack.callback(setattr, config, name, vars(config)[name])
        yield
