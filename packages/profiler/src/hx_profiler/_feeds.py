"""Arrays for the inputs of a model: given ones, recorded ones, and recorded ones in another shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_extractor import Hierarchy
from hx_graph import example_array
from hx_sidecar_schema import Example, HxError

Arrays = dict[str, NDArray[Any]]


def feeds_of(
    model: Hierarchy, inputs: Arrays | None = None, *, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> Arrays:
    """Return an array for every input of a model.

    Args:
        model: Its sidecar has the inputs that were recorded at export.
        inputs: An array for every input, by name, which is brought to the input's element type. None: those recorded.
        input_shapes: Other shapes for some of the recorded inputs, whose values are repeated or cut. An input that was
            not recorded is drawn with a fixed seed: floats from 0 to 1, integers 0 and 1.

    Raises:
        HxError: HX206 if an input is neither recorded nor has a shape, HX409 if inputs or shapes have other names
            than the model's inputs.
    """
    infos = model.sidecar.model.inputs
    names = {info.name for info in infos}
    shapes = input_shapes or {}
    if (inputs is not None and set(inputs) != names) or not names.issuperset(shapes):
        wrong, argument = (sorted(set(shapes) - names), "input_shapes") if inputs is None else (inputs, "inputs")
        given, own = (", ".join(map(repr, some)) for some in (wrong, [info.name for info in infos]))
        message = f"{argument.replace('_', ' ').capitalize()} are given for {given}; the model's inputs are {own}."
        raise HxError(message, code="HX409", hint="Use the names of the ONNX model's inputs.", argument=argument)
    if inputs is not None:
        return {info.name: inputs[info.name].astype(ir.DataType[info.dtype].numpy(), copy=False) for info in infos}
    drawn = {name: Example(shape=list(shape), low=0.0, high=1.0) for name, shape in shapes.items()}
    infos = [info.model_copy(update={"example": info.example or drawn.get(info.name)}) for info in infos]
    arrays = {info.name: example_array(info) for info in infos}
    return arrays | {name: np.resize(arrays[name], tuple(shape)) for name, shape in shapes.items()}
