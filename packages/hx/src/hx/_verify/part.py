"""A model that was cut out of another, beside the module that it was cut out of."""

from __future__ import annotations

from hx_sidecar_schema import HxError, Sidecar, simple_name
from hx_tracer import LoadedModel


def part_of(loaded: LoadedModel, sidecar: Sidecar) -> LoadedModel:
    """Return the module that a part was cut out of: by its name in the given model, or what is given itself.

    Raises:
        HxError: HX407 if neither is of the part's class, HX128 if the part has inputs that its module does not take.
    """
    root = sidecar.modules[0]
    if implicit := [port.name for port in sidecar.calls[0].inputs if port.implicit and not port.unused]:
        raise HxError(
            f"{root.tag!r} reads {', '.join(map(repr, implicit))} past the arguments of forward(): PyTorch cannot be given that.",
            code="HX128",
            hint="Compare the whole model, or a part around this one.",
        )
    named = dict(loaded.module.named_modules(remove_duplicate=False))
    for module in (named.get(root.fqn), loaded.module):
        if module is not None and type(module).__name__ == simple_name(root.class_name):
            return loaded if module is loaded.module else LoadedModel(module, loaded.name)
    raise HxError(
        f"{type(loaded.module).__name__} is not, and has not as {root.fqn!r}, the {simple_name(root.class_name)} "
        "that the part was cut out of.",
        code="HX407",
        hint="Compare with the model that the part was exported with, or with the module itself.",
        argument="against",
    )
