"""Arrays for the inputs of a model: given ones, recorded ones, and recorded ones in another shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from hx_extractor import Hierarchy
from hx_graph import example_array
from hx_sidecar_schema import HxError, TensorInfo

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
    names = [info.name for info in infos]
    shapes = input_shapes or {}
    if inputs is not None and set(inputs) != set(names):
        raise _other_names("inputs", list(inputs), names)
    if unknown := sorted(set(shapes) - set(names)):
        raise _other_names("input_shapes", unknown, names)
    if inputs is not None:
        return {info.name: inputs[info.name].astype(ir.DataType[info.dtype].numpy(), copy=False) for info in infos}
    return {info.name: _array(info, shapes.get(info.name)) for info in infos}


def _array(info: TensorInfo, shape: Sequence[int] | None) -> NDArray[Any]:
    if shape is None:
        return example_array(info)
    if info.example is not None:
        return np.resize(example_array(info), tuple(shape))
    dtype = ir.DataType[info.dtype].numpy()
    draw = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer) or dtype == np.bool_:
        return draw.integers(0, 2, tuple(shape)).astype(dtype)
    return draw.random(tuple(shape)).astype(dtype)


def _other_names(argument: str, names: Sequence[str], wanted: Sequence[str]) -> HxError:
    what = "Inputs are" if argument == "inputs" else "Shapes are"
    return HxError(
        f"{what} given for {', '.join(map(repr, names))}; the model's inputs are {', '.join(map(repr, wanted))}.",
        code="HX409",
        hint="Use the names of the ONNX model's inputs.",
        argument=argument,
    )
