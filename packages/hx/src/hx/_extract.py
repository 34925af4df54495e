"""Module calls to files, each compared with what it should compute."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hx._file_inputs import Shapes, with_inputs
from hx._models import AnyHierarchy, AnyModel, model_spec, name_of, opened
from hx._progress import Progress, each, silent
from hx._tensors import Inputs
from hx.files import call_stems, check_writable, is_part_as_written, model_files, onnx_path
from hx.records.extract import ExtractReport, ModuleEntry, PortEntry
from hx_sidecar_schema import (
    HxError,
    MissingKernel,
    Port,
    atomic_folder,
    read_file,
    refuse_existing,
    share_of,
    simple_name,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hx._verify.references import Reference, Verdict
    from hx_extractor import Call, Extraction, Hierarchy, Weights

INDEX = "index.json"


def extract(
    model: AnyHierarchy,
    modules: str | Sequence[str] | None = None,
    output: str | Path | None = None,
    *,
    inputs: Inputs | None = None,
    input_shapes: Shapes | None = None,
    weights: Weights = "copy",
    weights_from: str | Path | None = None,
    against: AnyModel = None,
    verify: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ExtractReport:
    """Cut module calls out and write them as ONNX models that run alone, with the arguments of `forward()`.

    `hx.load(path)[pattern].extract()` does it in memory.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> str(hx.extract(exported, "0", "part.onnx"))
        '1 call cut out of sequential.onnx, compared with onnx: all equal'

    Args:
        model: An export, or the file of one.
        modules: Patterns of calls, `2/4` for every fourth from the second on; None for all calls.
        output: The file, where one pattern that is no share names one call; else the folder, with an `index.json`. None: named after the
            call or the model, in the current folder; with `weights="share"` several go to the model's folder.
        inputs: Compare on these arrays or tensors by the names of the ONNX model's inputs, or a file of them. None: the
            recorded ones.
        input_shapes: Other sizes of recorded inputs, or sizes of inputs that were not recorded.
        weights: `copy` writes them, `share` refers to the exported model's data file, `none` makes them inputs.
        weights_from: A `.safetensors` file, or a folder of them, whose weights the parts get in place of the model's, by the
            names of parameters; of these alone the bytes are read. They are compared with `against` alone.
        against: Compare with the modules of this PyTorch model instead of with the whole ONNX model.
        verify: Compare each with its original; not where the weights were not made.
        overwrite: Replace files that exist.
        progress: Told what goes on.

    Returns:
        A row for each call, with its file; the fields are told in `hx.records.extract`.

    Raises:
        HxError: HX401 if a pattern matches nothing, HX404 if the only match is not extractable, HX402 if outputs
            exist, HX408 if an output is the exported model itself; HX219 or HX218 where weights of `weights_from` cannot be read or do not
            fit, HX406 where they shall not be copied; HX110, HX409 or HX207 for inputs that the model does not
            take; else as `load` and `Extraction.save`.
    """
    if weights_from is not None and weights != "copy":
        raise HxError(
            f"Weights that come from {str(weights_from)!r} are copied into the parts: 'weights' cannot be {weights!r}.",
            code="HX406",
            hint="Leave it out, or take 'copy'.",
            argument="weights",
        )
    progress(f"Reading {name_of(model)}", 0, 0)
    hierarchy = with_inputs(opened(model), inputs, input_shapes, run=True)
    calls = hierarchy.calls(modules)
    is_share = isinstance(modules, str) and share_of(modules) is not None
    single = len(calls) == 1 and modules is not None and not is_share
    named = [*hierarchy] if is_share else calls  # the files of all shares fit into one folder
    names = call_stems([(call.fqn, call.index) for call in named], root=simple_name(hierarchy.root.class_name))
    by_row = dict(zip([call.row for call in named], names, strict=True))
    stems = [by_row[call.row] for call in calls]
    target = _target(hierarchy, output, stems, single=single, shared=weights == "share", overwrite=overwrite)
    if single and calls[0].status != "extractable":
        message = (
            f"Call {calls[0].tag!r} cannot be extracted, it is {calls[0].status.replace('_', ' ')}: {calls[0].reason}"
        )
        hint = "Extract the module around it; `hx tree --all` shows what is extractable."
        raise HxError(message, code="HX404", hint=hint)
    own = weights_from is None
    verify = verify and (not hierarchy.lacks_weights if own else against is not None)
    reference = _reference(hierarchy, calls, against, progress) if verify else None
    if single:
        progress("Cutting the module out", 0, 0)
        extraction, verdict = _cut(calls[0], reference, weights_from)
        extraction.save(target, weights=weights, examples=_examples(verdict, weights_from), overwrite=True)
        entries, removed = [_entry(calls[0], target.name, extraction, verdict)], list[str]()
    else:
        entries, removed = _to_folder(hierarchy, calls, stems, target, weights, weights_from, reference, progress)
    return ExtractReport(
        model=name_of(model),
        output=str(target),
        compared_with=("onnx" if against is None else "pytorch") if verify else None,
        mismatches=sum(entry.failed and entry.file is not None for entry in entries),
        refused=sum(entry.failed and entry.file is None for entry in entries),
        modules=entries,
        removed=removed,
    )


def _target(
    model: Hierarchy, output: str | Path | None, stems: Sequence[str], *, single: bool, shared: bool, overwrite: bool
) -> Path:
    """Settle where the results go, before any work."""
    if single:
        target = onnx_path(Path(output)) if output is not None else Path(f"{stems[0]}.onnx")
        written = model_files(target)
        refuse_existing(written, overwrite=overwrite)
        check_writable(target.parent)
    else:
        name = model.path or Path(model.sidecar.model.file)
        # beside the data file, where else could they be read
        target = Path(output) if output is not None else name.parent if shared else Path(f"{name.stem}_modules")
        written = [target / INDEX, *(file for stem in stems for file in model_files(target / f"{stem}.onnx"))]
        if shared and target.is_dir():
            refuse_existing(written, overwrite=overwrite)
        elif target.is_dir() and any(target.iterdir()):
            refuse_existing([target], overwrite=overwrite)
        check_writable(target)
    if shared:
        from hx_extractor import check_shareable

        check_shareable(model.model, written[0] if single else target / f"{stems[0]}.onnx", model.folder)
    refuse_existing(written, overwrite=True, read=model.files())
    return target


def _to_folder(
    model: Hierarchy,
    calls: Sequence[Call],
    stems: Sequence[str],
    folder: Path,
    weights: Weights,
    weights_from: str | Path | None,
    reference: Reference | None,
    progress: Progress,
) -> tuple[list[ModuleEntry], list[str]]:
    """Write all calls into a folder; return their rows, and the former files that were removed."""
    before = _former(folder)
    entries: list[ModuleEntry] = []
    with atomic_folder(folder) as staging:
        for call, stem in each(list(zip(calls, stems, strict=True)), "Extracting", progress):
            extraction, verdict, error = None, None, ""
            if call.status == "extractable":
                try:
                    extraction, verdict = _cut(call, reference, weights_from)
                except HxError as caught:  # one call that fails must not cost the others
                    error = caught.message
                else:
                    examples = _examples(verdict, weights_from)
                    extraction.save(staging / f"{stem}.onnx", weights=weights, examples=examples)
            entries.append(_entry(call, f"{stem}.onnx", extraction, verdict, error))
        index = [entry.model_dump(mode="json") for entry in entries]
        text = json.dumps(index, indent=1, ensure_ascii=False, allow_nan=False)
        (staging / INDEX).write_text(text + "\n", encoding="utf-8")
    kept = {path.resolve() for entry in entries if entry.file for path in model_files(folder / entry.file)}
    kept |= {path.resolve() for path in model.files()}
    removed = [path for path in before if path.exists() and path.resolve() not in kept]
    for path in removed:
        path.unlink()
    return entries, [path.name for path in removed]


def _reference(model: Hierarchy, calls: Sequence[Call], against: AnyModel, progress: Progress) -> Reference:
    """Return what compares an extraction with its original."""
    wanted = [call for call in calls if call.status == "extractable"]
    if against is None:
        from hx._verify.references import OnnxReference

        progress("Running the exported model", 0, 0)
        return OnnxReference(model, wanted)
    progress("Loading torch and the model, and running it", 0, 0)
    from hx._verify.boundaries import TorchReference

    reference = TorchReference(model, wanted, model_spec(against).load())
    with suppress(HxError):  # for the examples of the parts; what cannot be computed has none
        model.compute(port.carrier for call in wanted for port in call.inputs if port.value or port.initializer)
    return reference


def _cut(call: Call, reference: Reference | None, weights_from: str | Path | None) -> tuple[Extraction, Verdict | None]:
    extraction = call.extract(weights_from=weights_from)
    try:
        verdict = reference(extraction) if reference else None
        # What ONNX Runtime does not load is not written. Weights of other numbers change nothing in that, and need not be read.
        (extraction if reference or weights_from is None else call.extract()).session()
    except MissingKernel as error:
        if not call.hierarchy.lacks_kernel:
            raise
        from hx._verify.references import Verdict

        verdict = reference and Verdict(reason=f"Not compared: {error.message}")
    return extraction, verdict


def _examples(verdict: Verdict | None, weights_from: str | Path | None) -> bool | Mapping[str, NDArray[np.generic]]:
    """Return what is recorded as a part's inputs; what the exported model computes is nothing to other weights."""
    return verdict is not None and (weights_from is None or verdict.inputs)


def _entry(
    call: Call, file: str, extraction: Extraction | None, verdict: Verdict | None, error: str = ""
) -> ModuleEntry:
    """Return the row of the index for a call; `error` says why an extractable one was not extracted or compared."""
    return ModuleEntry(
        fqn=call.fqn,
        call=call.index,
        tag=call.tag,
        file=file if extraction else None,
        status=call.status,
        reason=error or (verdict and verdict.reason) or call.reason,
        inputs=[_port(port) for port in call.inputs],
        outputs=[_port(port) for port in call.outputs],
        nodes=len(extraction.model.graph) if extraction else 0,
        failed=bool(error) or (verdict is not None and not verdict.match),
        max_abs_error=verdict and verdict.max_abs_error,
        relative_error=verdict and verdict.relative_error,
    )


def _port(port: Port) -> PortEntry:
    shared = port.model_dump(exclude={"value", "initializer"})
    return PortEntry(**shared, value=port.value or port.initializer)


def _former(folder: Path) -> list[Path]:
    """Return the files that an earlier run wrote into a folder and that nobody has changed since, as its index says."""
    try:
        rows = json.loads(read_file(folder / INDEX))
        models = [folder / Path(row["file"]).name for row in rows if row["file"]]
        return [path for model in models if is_part_as_written(model) for path in model_files(model)]
    except (OSError, ValueError, TypeError, LookupError):  # somebody else's index
        return []
