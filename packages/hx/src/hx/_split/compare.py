"""Stages beside the whole model, on the recorded inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hx._progress import Progress, each
from hx_graph import drawn_values, example_record, make_session, run_session
from hx_sidecar_schema import HxError, MissingKernel

if TYPE_CHECKING:
    from hx_extractor import Hierarchy
    from hx_surgery import StageModel


def compared_stages(
    hierarchy: Hierarchy, stages: Sequence[StageModel], progress: Progress
) -> tuple[list[StageModel], bool | None, str]:
    """Return stages with examples of their inputs, whether each gives the whole model's values, and why that is not known."""
    progress("Running the whole model", 0, 0)
    names = {str(v.name) for stage in stages for v in stage.model.graph.inputs if not v.is_initializer()}
    names |= {str(v.name) for stage in stages for v in stage.model.graph.outputs}  # weights among them
    reason = ""
    arrays: dict[str, Any] = {}
    try:
        arrays = dict(hierarchy.example_inputs())
        arrays |= hierarchy.compute(sorted(names - arrays.keys()))
    except HxError as error:
        reason = error.message
    drawn = drawn_values(hierarchy.model.graph)
    done: list[StageModel] = []
    equal = True
    for stage in each(stages, "Comparing stages", progress):
        inputs = [str(value.name) for value in stage.model.graph.inputs if not value.is_initializer()]
        try:
            session = make_session(stage.model, hierarchy.folder)
        except MissingKernel as error:
            if not hierarchy.lacks_kernel:
                raise
            reason = error.message
        else:
            if not reason:
                found = run_session(session, {name: arrays[name] for name in inputs})
                equal &= all(_same(array, arrays[name]) for name, array in found.items() if name not in drawn)
        records = {
            name: example_record(arrays[name]) for name in inputs if name in arrays and _is_recordable(arrays[name])
        }
        info = stage.sidecar.model
        examples = [row.model_copy(update={"example": row.example or records.get(row.name)}) for row in info.inputs]
        sidecar = stage.sidecar.model_copy(update={"model": info.model_copy(update={"inputs": examples})})
        done.append(replace(stage, sidecar=sidecar))
    return done, None if reason else equal, reason


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if one is None or other is None:
        return one is other
    equal = one.dtype == other.dtype and one.shape == other.shape
    return equal and (one.tolist() == other.tolist() if one.dtype.kind in "OSU" else one.tobytes() == other.tobytes())


def _is_recordable(array: Any) -> bool:
    return array is not None and not isinstance(array, list) and array.dtype.kind not in "OSU"
