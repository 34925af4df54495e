"""Commands whose parameters are groups of options: each group a dataclass, so that shared options stand in one place."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command whose parameters that are dataclasses are replaced by the fields of these, for typer to read."""
    groups: dict[str, tuple[Any, list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, hint in get_type_hints(command, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            fields = dataclasses.fields(hint)
            groups[name] = hint, [field.name for field in fields]
            hints = get_type_hints(hint, include_extras=True)
            parameters += [_parameter(field.name, hints[field.name], field.default) for field in fields]
        elif name != "return":
            default = inspect.signature(command).parameters[name].default
            parameters.append(_parameter(name, hint, default))

    def call(**values: Any) -> int:
        given = {name: kind(**{f: values.pop(f) for f in fields}) for name, (kind, fields) in groups.items()}
        return command(**values, **given)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)
