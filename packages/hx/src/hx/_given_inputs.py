"""Inputs of a module in the forms that the functions of hx take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hx_tracer import ExampleInputs, LoadedModel


def given_inputs(
    loaded: LoadedModel,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> ExampleInputs:
    """Return inputs of a module as `export` takes them.

    Raises:
        HxError: HX108 to HX110 where there are none that fit.
    """
    from hx_tracer import example_inputs

    file = Path(args) if isinstance(args, str | Path) else None
    example: Any = None if file is not None else args
    if isinstance(args, tuple) and not args:
        example = None if kwargs else loaded.example
    return example_inputs(
        loaded.module, example=example, kwargs=kwargs or None, inputs_file=file, input_shapes=input_shapes
    )
