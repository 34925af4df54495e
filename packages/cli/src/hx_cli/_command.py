"""Commands whose parameters are groups of options: each group a dataclass, so that shared options stand in one place."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command whose parameters that are dataclasses are replaced by the fields of these, for typer to read."""
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if dataclasses.is_dataclass(hints[name]):
            groups[name] = hints[name]
            parts = get_type_hints(hints[name], include_extras=True)
            for part in dataclasses.fields(groups[name]):
                hint, default = parts[part.name], part.default
                parameters.append(inspect.Parameter(part.name, keyword_only, annotation=hint, default=default))
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=keyword_only))

    def call(**values: Any) -> int:
        for name, kind in groups.items():
            values[name] = kind(**{part.name: values.pop(part.name) for part in dataclasses.fields(kind)})
        return command(**values)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
