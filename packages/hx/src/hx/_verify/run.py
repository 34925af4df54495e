"""`hx verify`: every call's numbers against PyTorch, and the first that goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx._export.exported import Export
from hx._model_spec import AnyModel, model_spec
from hx._open import AnyHierarchy, name_of, opened
from hx._progress import Progress, each, silent
from hx.records.verify import Numbers, VerifyEntry, VerifyReport
from hx_sidecar_schema import ForeignSidecar, HxError, MissingSidecar, Sidecar

if TYPE_CHECKING:
    from hx._verify.blame import CallError
    from hx._verify.measure import CallNumbers, Measurement
    from hx_extractor import Difference, Hierarchy
    from hx_tracer import LoadedModel

TRANSFORMED_CEILING = 0.5
"""A quantised model is as far off as its maker accepts; beyond half of the largest value nothing is left of an output."""


def verify(
    model: AnyHierarchy,
    against: AnyModel = None,
    *,
    inputs: Any = None,
    original: str | Path | None = None,
    memory_bytes: int = 2 * 10**9,
    fail_over: float | None = None,
    progress: Progress = silent,
) -> VerifyReport:
    """Compare every module call with PyTorch, alone and in the whole model, and name the first that is wrong.

    Example:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),))
        >>> hx.verify(exported).failed
        False

    Args:
        model: An export, or the file of one.
        against: The PyTorch model, as `export` takes it. None for that of an export in memory.
        inputs: For both models, as the argument `args` of `export`. None for those that the export recorded.
        original: The export that `model` was made of by a quantiser, converter or optimiser.
        memory_bytes: Of tensors held at once; both models run as often as that takes.
        fail_over: Largest relative error that is accepted, local and accumulated. None: local errors only, beyond what
            rounding in this model explains.
        progress: Told what goes on.

    Returns:
        Each call's numbers; `failed` and `culprit` say what is wrong.

    Raises:
        HxError: HX301 if the model has no sidecar, HX407 if PyTorch does not run on the inputs, HX109, HX110 or HX409
            for inputs that do not fit, HX410 if not one call could be compared; else as `load` and `export`.
    """
    hierarchy = _open(model, original, progress)
    progress("Loading torch and the model, and running it", 0, 0)
    from hx._verify.inputs import fitting_inputs, recorded_inputs
    from hx._verify.measure import Measurement

    name, loaded = _reference(model, against)
    if inputs is not None:
        both = fitting_inputs(loaded, inputs, hierarchy.sidecar.model.inputs)
    else:
        both = recorded_inputs(loaded, hierarchy.example_inputs())
    measurement = Measurement(hierarchy, loaded, both, memory_bytes)
    numbers = _measure_all(measurement, progress)
    limits, wrong, culprit = _judged(hierarchy, numbers, fail_over, transformed=original is not None)
    too_far = fail_over is not None and _largest_accumulated(numbers) > fail_over
    return VerifyReport(
        model=name_of(model),
        original=str(original) if original else None,
        against=name,
        inputs="recorded" if inputs is None else str(inputs) if isinstance(inputs, str | Path) else "given",
        memory_bytes=memory_bytes,
        batches=len(measurement.batches),
        fail_over=fail_over,
        failed=culprit is not None or too_far,
        culprit=culprit,
        compared=sum(bool(found.local) for found in numbers.values()),
        calls=_entries(hierarchy.sidecar, measurement, numbers, limits, wrong),
    )


def _reference(model: AnyHierarchy, against: AnyModel) -> tuple[str, LoadedModel]:
    """Return the PyTorch model with the name that the record gives it."""
    if against is not None:
        spec = model_spec(against)
        return spec.name, spec.load()
    if isinstance(model, Export):
        return model.report.model, model.loaded
    raise HxError(
        f"No PyTorch model is named to compare {name_of(model)!r} with.", code="HX405", hint="Give it as `against`."
    )


def _open(model: AnyHierarchy, original: str | Path | None, progress: Progress) -> Hierarchy:
    progress(f"Reading {name_of(model)}", 0, 0)
    if original is not None:
        from hx_extractor import load_transformed

        return load_transformed(name_of(model), original)
    try:
        return opened(model)
    except (ForeignSidecar, MissingSidecar) as error:
        hint = "Export the model again, or name the export that it was made of."
        raise type(error)(error.message, hint=hint, argument="original") from error


def _measure_all(measurement: Measurement, progress: Progress) -> dict[int, CallNumbers]:
    steps = [(index, row) for index, rows in enumerate(measurement.batches) for row in rows]
    numbers: dict[int, CallNumbers] = {}
    held: int | None = None
    for index, row in each(steps, "Comparing", progress):
        if index != held:
            measurement.fetch(measurement.batches[index])
            held = index
        numbers[row] = measurement.measure(row)
    return numbers


def _judged(
    model: Hierarchy, numbers: Mapping[int, CallNumbers], fail_over: float | None, *, transformed: bool
) -> tuple[Sequence[float], Sequence[bool], int | None]:
    """Return the largest local error that each call may have, which calls are wrong, and the first to blame."""
    from hx._verify.blame import first_culprit, limits_of, wrong_calls

    if not any(found.local for found in numbers.values()):
        reasons = [found.reason for found in numbers.values() if found.reason]
        raise HxError(
            f"No call of {name_of(model)!r} could be compared: "
            + (reasons[0] if reasons else "the PyTorch model made none of its extractable calls."),
            code="HX410",
            hint="Compare with the model that the ONNX file was exported from, loaded the same way; so must `project` have done, if that made the sidecar.",
        )
    calls = _errors(model.sidecar, numbers)
    explain = fail_over is None
    if fail_over is not None:
        limits: Sequence[float] = [fail_over] * len(calls)
    else:
        limits = limits_of(calls, _ceiling(model, transformed=transformed))
    return limits, wrong_calls(calls, limits, explain=explain), first_culprit(calls, limits, explain=explain)


def _errors(sidecar: Sidecar, numbers: Mapping[int, CallNumbers]) -> list[CallError]:
    from hx._verify.blame import CallError
    from hx._verify.measure import worst

    errors: list[CallError] = []
    for row, call in enumerate(sidecar.calls):
        found = numbers.get(row)
        largest = worst(found.local) if found else None
        errors.append(
            CallError(
                parent=call.parent,
                error=largest[1].relative_error if largest else None,
                epsilon=found.epsilon if found else 0.0,
                unproven=frozenset((*found.borrowed.values(), *found.recomputed)) if found else frozenset(),
            )
        )
    return errors


def _ceiling(model: Hierarchy, *, transformed: bool) -> float:
    from hx._tolerance import tolerance

    if transformed or model.sidecar.is_relinked:
        return TRANSFORMED_CEILING
    return tolerance(port.dtype for call in model.sidecar.calls for port in call.outputs)


def _largest_accumulated(numbers: Mapping[int, CallNumbers]) -> float:
    found = (one.relative_error for call in numbers.values() for one in call.accumulated.values())
    return max(found, default=0.0)


def _entries(
    sidecar: Sidecar,
    measurement: Measurement,
    numbers: Mapping[int, CallNumbers],
    limits: Sequence[float],
    wrong: Sequence[bool],
) -> list[VerifyEntry]:
    from hx._verify.boundaries import why_not_made
    from hx._verify.measure import worst

    entries: list[VerifyEntry] = []
    for row, call in enumerate(sidecar.calls):
        found = numbers.get(row)
        reason = found.reason if found else call.reason
        if measurement.not_made(row):
            reason = why_not_made(call)
        entries.append(
            VerifyEntry(
                fqn=sidecar.module_of(call).fqn,
                call=call.index,
                tag=sidecar.tag(call),
                parent=call.parent,
                status=call.status,
                reason=reason,
                limit=limits[row],
                wrong=wrong[row],
                local=_numbers(worst(found.local)) if found else None,
                accumulated=_numbers(worst(found.accumulated)) if found else None,
                inputs_from_onnx=list(found.borrowed) if found else [],
                nodes_of_others=list(found.recomputed) if found else [],
            )
        )
    return entries


def _numbers(found: tuple[str, Difference] | None) -> Numbers | None:
    return None if found is None else Numbers(port=found[0], **asdict(found[1]))
