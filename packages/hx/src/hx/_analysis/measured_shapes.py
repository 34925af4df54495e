"""Sizes of values that only a run shows: no value is kept, each one's shape is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hx_sidecar_schema import HxError

if TYPE_CHECKING:
    from hx_extractor import Hierarchy

logger = logging.getLogger(__name__)


def measure_shapes(
    model: Hierarchy, names: Sequence[str], inputs: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    """Run the model once and return how large values are; nothing where it does not run.

    Args:
        model: Not changed. The run reads its weights.
        names: Values of the main graph.
        inputs: Sizes of the inputs. Where they are not those of the recorded ones, recorded numbers are repeated.
    """
    import numpy as np
    import onnx_ir as ir

    from hx_graph import make_session, run_session

    copy = model.model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    copy.graph.outputs.clear()
    for position, name in enumerate(names):
        shape = ir.node("Shape", [values[name]])
        shape.outputs[0].name = f"hx.shape.{position}"
        shape.outputs[0].dtype = ir.DataType.INT64
        copy.graph.append(shape)
        copy.graph.outputs.append(shape.outputs[0])
    try:
        feeds = {
            name: np.resize(array, inputs.get(name, array.shape)) for name, array in model.example_inputs().items()
        }
        arrays = run_session(make_session(copy, model.folder), feeds)
    except HxError as error:  # a model that does not run can still be counted, in part
        logger.info("sizes of %d values stay unknown: %s", len(names), error.message)
        return {}
    return {name: tuple(int(size) for size in array) for name, array in zip(names, arrays.values(), strict=True)}
