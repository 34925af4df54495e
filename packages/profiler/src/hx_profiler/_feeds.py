"""Inputs of the runs: given ones, recorded ones, and recorded ones at another size."""

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
    model: Hierarchy,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    given: Arrays | None = None,
) -> Arrays:
    """Return an array for every input of a model.

    Args:
        model: With the inputs that were recorded at export.
        shapes: Sizes of some inputs. A recorded input is repeated and cut to them; one that was not recorded is drawn:
            floats from 0 to 1, integers 0 and 1, with a fixed seed.
        given: All inputs, by name; nothing recorded is used.

    Raises:
        HxError: HX206 if an input is neither recorded nor has a shape, HX409 if inputs or shapes have other names
            than the model's.
    """
    infos = model.sidecar.model.inputs
    names = [info.name for info in infos]
    shapes = shapes or {}
    unknown = sorted(set(shapes) - set(names))
    if given is not None and set(given) != set(names):
        raise _other_names("--inputs", list(given), names)
    if unknown:
        raise _other_names("--input-shape", unknown, names)
    if given is not None:
        return {
            info.name: given[info.name].astype(ir.DataType[info.dtype].numpy(), copy=False) for info in infos
        }
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


def _other_names(option: str, names: Sequence[str], wanted: Sequence[str]) -> HxError:
    return HxError(
        f"{option} names {', '.join(map(repr, names))}; the model's inputs are {', '.join(map(repr, wanted))}.",
        code="HX409",
        hint="Use the names of the ONNX model's inputs.",
    )
