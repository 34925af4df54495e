"""`hx verify`: every call's numbers against PyTorch, and the first that goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hx._paths import find_model
from hx.records.reports import Numbers, VerifyEntry, VerifyReport, finite
from hx_sidecar_schema import ForeignSidecar, HxError, MissingSidecar, Sidecar

if TYPE_CHECKING:
    from hx._model_spec import PyTorchModel
    from hx._verify.blame import CallError
    from hx._verify.measure import CallNumbers, Measurement
    from hx_cli._output import Output
    from hx_extractor import Difference, Hierarchy

TRANSFORMED_CEILING = 0.5
"""A quantised model is as far off as its maker accepts; beyond half of the largest value nothing is left of an output."""


@dataclass(frozen=True)
class VerifyRequest:
    """What the user asked for; the fields are the options of `hx verify`."""

    against: PyTorchModel
    model: Path | None = None
    original: Path | None = None
    inputs_file: Path | None = None
    memory_bytes: int = 2 * 10**9
    fail_over: float | None = None


def verify_calls(request: VerifyRequest, output: Output) -> VerifyReport:
    """Compare every extractable call with PyTorch.

    Raises:
        HxError: HX403 or HX405 if no model is named, HX109, HX110 or HX409 for inputs that do not fit, HX410 if not one
            call could be compared; else as `hx_extractor` and `hx_tracer` raise.
    """
    path, model = _open(request, output)
    with output.working("Loading torch and the model, and running it"):
        from hx._verify.inputs import file_inputs, recorded_inputs
        from hx._verify.measure import Measurement

        loaded = request.against.load()
        if request.inputs_file is not None:
            inputs = file_inputs(loaded, request.inputs_file, model.sidecar.model.inputs)
        else:
            inputs = recorded_inputs(loaded, model.example_inputs())
        measurement = Measurement(model, loaded, inputs, request.memory_bytes)
    numbers = _measure_all(measurement, output)
    return _report(request, path, model, measurement, numbers)


def _open(request: VerifyRequest, output: Output) -> tuple[Path, Hierarchy]:
    if request.model is None and request.original is not None:
        raise HxError(
            "No model is named that was made of the export.",
            code="HX405",
            hint="Write it like `hx verify quantised.onnx --from export.onnx --against MODEL`.",
        )
    path = find_model(request.model)
    with output.working(f"Reading {path}"):
        from hx_extractor import load, load_transformed

        if request.original is not None:
            return path, load_transformed(path, request.original)
        try:
            return path, load(path)
        except (ForeignSidecar, MissingSidecar) as error:
            hint = "Name the export that it was made of with --from, or export the model again."
            raise type(error)(error.message, hint=hint) from error


def _measure_all(measurement: Measurement, output: Output) -> dict[int, CallNumbers]:
    steps = [(index, row) for index, rows in enumerate(measurement.batches) for row in rows]
    numbers: dict[int, CallNumbers] = {}
    held: int | None = None
    for index, row in output.each(steps, "Comparing"):
        if index != held:
            measurement.fetch(measurement.batches[index])
            held = index
        numbers[row] = measurement.measure(row)
    return numbers


def _report(
    request: VerifyRequest,
    path: Path,
    model: Hierarchy,
    measurement: Measurement,
    numbers: Mapping[int, CallNumbers],
) -> VerifyReport:
    from hx._verify.blame import first_culprit, limits_of, wrong_calls

    compared = sum(bool(found.local) for found in numbers.values())
    if not compared:
        reasons = [found.reason for found in numbers.values() if found.reason]
        raise HxError(
            f"No call of {str(path)!r} could be compared: "
            + (reasons[0] if reasons else "the PyTorch model made none of its extractable calls."),
            code="HX410",
            hint="Give --against the model that the ONNX file was exported from, with the same --task; to `hx project` too, if that made the sidecar.",
        )
    calls = _errors(model.sidecar, numbers)
    explain = request.fail_over is None
    if request.fail_over is not None:
        limits = [request.fail_over] * len(calls)
    else:
        limits = limits_of(calls, _ceiling(request, model))
    wrong = wrong_calls(calls, limits, explain=explain)
    culprit = first_culprit(calls, limits, explain=explain)
    return VerifyReport(
        model=str(path),
        original=str(request.original) if request.original else None,
        against=request.against.spec,
        inputs=str(request.inputs_file) if request.inputs_file else "recorded",
        memory_bytes=request.memory_bytes,
        batches=len(measurement.batches),
        fail_over=request.fail_over,
        failed=culprit is not None
        or (request.fail_over is not None and _largest_accumulated(numbers) > request.fail_over),
        culprit=culprit,
        compared=compared,
        calls=_entries(model.sidecar, measurement, numbers, limits, wrong),
    )


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


def _ceiling(request: VerifyRequest, model: Hierarchy) -> float:
    from hx._verify.tolerance import tolerance

    if request.original is not None or model.sidecar.is_relinked:
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
    if found is None:
        return None
    port, one = found
    return Numbers(
        port=port,
        max_abs_error=finite(one.max_abs_error),
        max_relative_error=finite(one.max_relative_error),
        relative_error=finite(one.relative_error),
        cosine_similarity=finite(one.cosine_similarity),
        snr_db=finite(one.snr_db),
        expected_nan=one.expected_nan,
        expected_inf=one.expected_inf,
        actual_nan=one.actual_nan,
        actual_inf=one.actual_inf,
        reason=one.reason,
    )
