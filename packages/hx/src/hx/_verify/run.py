"""`hx verify`: every call's numbers against PyTorch, and the first that goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hx._export.exported import Export
from hx._file_inputs import Shapes
from hx._models import AnyHierarchy, AnyModel, model_spec, name_of, opened
from hx._progress import Progress, silent
from hx._tensors import ROUNDING_FACTOR
from hx._verify.blame import CallError, first_culprit, limits_of, wrong_calls
from hx.records.verify import Numbers, VerifyEntry, VerifyReport
from hx_extractor import Hierarchy, tolerance
from hx_sidecar_schema import ForeignSidecar, HxError, MissingSidecar, Sidecar, graph_digest

if TYPE_CHECKING:
    from hx._verify.inputs import ModuleInputs
    from hx._verify.measure import CallNumbers, PortDifference
    from hx_tracer import LoadedModel

TRANSFORMED_CEILING = 0.5
"""A quantised model is as far off as its maker accepts; beyond half of the largest value nothing is left of an output."""


def verify(
    model: AnyHierarchy,
    against: AnyModel = None,
    *,
    modules: str | Sequence[str] | None = None,
    inputs: Any = None,
    input_shapes: Shapes | None = None,
    original: str | Path | None = None,
    memory_bytes: int | None = None,
    fail_over: float | None = None,
    measured: Sequence[VerifyReport] = (),
    progress: Progress = silent,
) -> VerifyReport:
    """Compare every module call with PyTorch, alone and in the whole model, and name the first that is wrong.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),))
        >>> hx.verify(exported).failed
        False

    Args:
        model: An export, or a part that was cut out of one; or the file of one.
        against: The PyTorch model, as `export` takes it. None for that of an export in memory. Of a part, the model that
            holds its module, or that module itself.
        modules: Patterns of the calls to compare, `2/4` for every fourth from the second on; None for all. What is ordinary is found from these
            alone, and it is no error where none of them can be compared.
        inputs: For both models, as the argument `args` of `export`, or arrays or tensors by the names of the ONNX model's
            inputs. None for those that the export recorded.
        input_shapes: Other sizes of recorded inputs, or sizes of inputs that were not recorded, by the ONNX model's names.
        original: The export that `model` was made of by a quantiser, converter or optimiser.
        memory_bytes: Of tensors held at once; both models run as often as that takes. None for 2 GB, and more where one call
            needs more. A number bounds memory also for weights that are larger than it: those of a file or of
            safetensors are read from there while a call runs, and none of them stays in memory. What both runtimes need for what
            they compute between the calls' borders comes on top.
        fail_over: Largest relative error that is accepted, local and accumulated. None: local errors only, beyond what
            rounding in this model explains.
        measured: Reports on shares of the calls, of the same models and inputs. They are put together and judged as if all calls were
            compared here; PyTorch runs only where a call needs a look in double precision.
        progress: Told what goes on.

    Returns:
        Each call's numbers; `failed` and `culprit` say what is wrong.

    Raises:
        HxError: HX301 if the model has no sidecar, HX407 if PyTorch does not run on the inputs, HX109, HX110 or HX409
            for inputs that do not fit, HX420 if one call needs more than `memory_bytes`, HX128 if a part reads more than arguments, HX410 if not one call could be compared; else as `load` and `export`.
    """
    hierarchy = _open(model, original, progress)
    hierarchy.refuse_without_weights()
    sidecar = hierarchy.sidecar
    if against is not None:
        source = model_spec(against)
    elif isinstance(model, Export):
        source = model
    else:
        raise HxError(
            f"No PyTorch model is named to compare {name_of(model)!r} with.", code="HX405", hint="Give it as `against`."
        )

    @cache
    def pytorch() -> tuple[LoadedModel, ModuleInputs]:
        from hx._verify.inputs import counterpart, inputs_of_both

        progress("Loading torch and the model, and running it", 0, 0)
        loaded = counterpart(source.loaded if isinstance(source, Export) else source.load(), sidecar)
        return loaded, inputs_of_both(loaded, hierarchy, inputs, input_shapes)

    from hx._verify.measure import DEFAULT_BYTES, Measurement, own_roundings

    if measured:
        from hx._verify.shares import numbers_of

        numbers = numbers_of(measured, sidecar)
        refusal = next((report.refusal for report in measured if report.refusal), "")
        reasons = [found.reason for found in numbers]
        batches = sum(report.batches for report in measured)
    else:
        measurement = Measurement(hierarchy, *pytorch(), memory_bytes, modules)
        numbers = measurement.measure_all(progress)
        refusal, batches = measurement.refusal, len(measurement.batches)
        reasons = [measurement.why_not_made(row) or found.reason for row, found in enumerate(numbers)]
    if modules is None:
        _refuse_none_compared(hierarchy, numbers)
    errors = _errors(sidecar, numbers)
    explain = fail_over is None
    if fail_over is not None:
        limits = [fail_over] * len(errors)
    elif original is not None or sidecar.is_relinked:
        limits = limits_of(errors, TRANSFORMED_CEILING)
    else:
        limits = limits_of(errors, tolerance(port.dtype for call in sidecar.calls for port in call.outputs))
    wrong = wrong_calls(errors, limits, explain=explain)
    rounding: dict[int, float] = {}
    if explain and any(wrong):
        loaded, both = pytorch()
        progress("Running PyTorch in double precision", 0, 0)
        rounding = own_roundings(sidecar, loaded, both, [row for row, is_wrong in enumerate(wrong) if is_wrong])
        limits = [max(limit, ROUNDING_FACTOR * rounding.get(row, 0.0)) for row, limit in enumerate(limits)]
        wrong = wrong_calls(errors, limits, explain=explain)
    culprit = first_culprit(errors, limits, explain=explain)
    accumulated = (found.accumulated[1].relative_error for found in numbers if found.accumulated)
    too_far = fail_over is not None and max(accumulated, default=0.0) > fail_over
    return VerifyReport(
        model=name_of(model),
        graph_digest=sidecar.model.graph_digest if original is None else graph_digest(hierarchy.model),
        original=str(original) if original else None,
        against=source.report.model if isinstance(source, Export) else source.name,
        inputs="recorded" if inputs is None else str(inputs) if isinstance(inputs, str | Path) else "given",
        memory_bytes=memory_bytes or DEFAULT_BYTES,
        batches=batches,
        fail_over=fail_over,
        failed=culprit is not None or too_far or bool(refusal),
        refused=_refused(sidecar, numbers) if refusal else None,
        refusal=refusal,
        culprit=culprit,
        compared=sum(found.local is not None for found in numbers),
        calls=[
            VerifyEntry(
                fqn=sidecar.module_of(call).fqn,
                call=call.index,
                tag=sidecar.tag(call),
                parent=call.parent,
                status=call.status,
                reason=reasons[row] or ("" if found.local else call.reason),
                limit=limits[row],
                wrong=wrong[row],
                rounding=rounding.get(row),
                local=_numbers(found.local),
                accumulated=_numbers(found.accumulated),
                inputs_from_onnx=list(found.borrowed),
                nodes_of_others=list(found.recomputed),
                epsilon=found.epsilon,
                refused=found.refused,
            )
            for row, (call, found) in enumerate(zip(sidecar.calls, numbers, strict=True))
        ],
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


def _refuse_none_compared(model: Hierarchy, numbers: Sequence[CallNumbers]) -> None:
    """Raise HX410 if not one call was compared."""
    if not any(found.local for found in numbers):
        reason = next((found.reason for found in numbers if found.reason), None)
        hint = "Compare with the model that the ONNX file was exported from, loaded the same way."
        if any(found.refused for found in numbers):
            hint = "Convert the model to float32, or export it with another strategy or opset."
        elif model.sidecar.calls[0].constants is None:  # its ports have names of the graph's own
            hint = "Make the sidecar anew with `hx project --against`, which gives values the names that PyTorch has for them."
        raise HxError(
            f"No call of {name_of(model)!r} could be compared: "
            + (reason or "the PyTorch model made none of its extractable calls."),
            code="HX410",
            hint=hint,
        )


def _errors(sidecar: Sidecar, numbers: Sequence[CallNumbers]) -> list[CallError]:
    """Return how wrong each call is."""
    return [
        CallError(
            parent=call.parent,
            error=found.local[1].relative_error if found.local else None,
            epsilon=found.epsilon,
            unproven=frozenset((*found.borrowed.values(), *found.recomputed)),
        )
        for call, found in zip(sidecar.calls, numbers, strict=True)
    ]


def _refused(sidecar: Sidecar, numbers: Sequence[CallNumbers]) -> int:
    """Return the first call that ONNX Runtime does not run alone and that holds no other such call; else the root."""
    ends = sidecar.subtree_end
    refused = [row for row, found in enumerate(numbers) if found.refused]
    return next((row for row in refused if not any(row < inner < ends[row] for inner in refused)), 0)


def _numbers(found: PortDifference | None) -> Numbers | None:
    return None if found is None else Numbers(port=found[0], **asdict(found[1]))
