"""`hx profile`: where the time goes, by module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hx._paths import check_writable, find_model, refuse_existing, sidecar_path
from hx_cli._parse import parse_shapes
from hx_sidecar_schema import HxError, Sidecar, atomic_folder, graph_digest

if TYPE_CHECKING:
    import onnx_ir as ir
    from pydantic import BaseModel

    from hx_cli._output import Output
    from hx_extractor import Hierarchy
    from hx_profiler import Measurement, Profile


@dataclass(frozen=True)
class ProfileRequest:
    """What is asked for; see the options of the command."""

    models: Sequence[Path]
    inputs: Path | None
    input_shapes: Sequence[str]
    runs: int
    warmup: int | None
    optimization: str
    provider: str
    threads: int
    trace: Path | None
    graph: Path | None
    patterns: Sequence[str]
    isolated: bool
    files: Mapping[str, Path | None]
    overwrite: bool

    @property
    def saved(self) -> bool:
        """Whether the model is a profile that was saved."""
        return len(self.models) == 1 and self.models[0].suffix == ".json"

    @property
    def settings(self) -> dict[str, Any]:
        """How models run."""
        return {
            "runs": self.runs,
            "warmup": 3 if self.warmup is None else self.warmup,
            "optimization": self.optimization,
            "provider": self.provider,
            "threads": self.threads,
        }


@dataclass(frozen=True)
class Found:
    """What is printed.

    Attributes:
        record: One of the profile, the comparison and the calls timed alone.
        roots: Of a profile, positions of the calls that --module names.
    """

    record: BaseModel
    roots: Sequence[int] = ()


def profile_models(request: ProfileRequest, output: Output) -> Found:
    """Profile one model, or compare two.

    Raises:
        HxError: HX402, HX306 before any work where a file could not be written; HX405 where the options do not go
            together; HX403 if there is no single model; else as the packages raise.
    """
    _check(request)
    if len(request.models) == 2:
        from hx_profiler import compare

        before, after = (_saved_or_measured(path, request, output) for path in request.models)
        return Found(compare(before, after))
    if request.saved:
        from hx_profiler import Profile

        return Found(Profile.load(request.models[0]))
    with TemporaryDirectory(prefix="hx-profile-") as folder:
        if request.trace is not None:
            model, measurement = _from_trace(request, request.trace, output)
        else:
            model, measurement = _measured(_model_path(request), request, Path(folder), output)
    _write(request, measurement)
    rows = sorted({call.row for pattern in request.patterns for call in model.calls(pattern)})
    if request.isolated:
        return Found(_isolated(model, rows, measurement.profile, request, output))
    return Found(measurement.profile, _positions(model, rows, measurement.profile))


def _check(request: ProfileRequest) -> None:
    reason = ""
    files = [path for path in request.files.values() if path is not None]
    if len(request.models) > 2:
        reason = "hx profile takes one model, or two to compare"
    elif len(request.models) == 2 and (files or request.trace or request.isolated or request.patterns):
        reason = "two models are compared by module; files, --from-trace, --module and --isolated are of one"
    elif request.saved and (files or request.trace or request.isolated or request.patterns):
        reason = "a saved profile can be shown and compared; all else needs the model"
    elif request.graph is not None and request.trace is None:
        reason = "--graph is what a trace ran, without --from-trace there is none"
    elif request.isolated and not request.patterns:
        reason = "--isolated times the calls of --module, and none is named"
    elif request.isolated and request.trace is not None:
        reason = "--isolated runs the model, --from-trace does not"
    if reason:
        raise HxError(
            f"These arguments do not go together: {reason}.", code="HX405", hint="See `hx profile --help`."
        )
    refuse_existing(files, overwrite=request.overwrite)
    for path in files:
        check_writable(path.parent)


def _model_path(request: ProfileRequest) -> Path:
    return find_model(request.models[0] if request.models else None)


def _saved_or_measured(path: Path, request: ProfileRequest, output: Output) -> Profile:
    from hx_profiler import Profile

    if path.suffix == ".json":
        return Profile.load(path)
    with TemporaryDirectory(prefix="hx-profile-") as folder:
        return _measured(path, request, Path(folder), output)[1].profile


def _measured(
    path: Path, request: ProfileRequest, folder: Path, output: Output
) -> tuple[Hierarchy, Measurement]:
    """Run a model, and give its kernels to calls."""
    with output.working(f"Reading {path}"):
        from hx_extractor import load
        from hx_profiler import attribute, execute, feeds_of

        model = load(path)
        given = None
        if request.inputs is not None:
            from hx._arrays import read_arrays

            given = read_arrays(request.inputs)
        feeds = feeds_of(model, shapes=parse_shapes(request.input_shapes), given=given)
    with output.working(f"Running {path}"):
        execution = execute(path, feeds, folder, **request.settings)
    with output.working("Finding the modules of what ran"):
        sidecar = _sidecar_of(execution.executed, model, path.name)
        measurement = attribute(
            execution.trace,
            execution.executed,
            sidecar,
            model=str(path),
            settings=execution.settings,
            notes=execution.notes,
        )
    return model, measurement


def _from_trace(request: ProfileRequest, trace: Path, output: Output) -> tuple[Hierarchy, Measurement]:
    """Give the kernels of a profile that was taken elsewhere to calls."""
    with output.working(f"Reading {trace}"):
        from hx_extractor import load
        from hx_profiler import Settings, attribute, read_executed, read_trace

        whole = read_trace(trace)
        warmup = min(request.warmup or 0, len(whole.runs) - 1)
        graph = request.graph
        relinked = graph is not None and not request.models and sidecar_path(graph).exists()
        path = graph if graph is not None and relinked else _model_path(request)
        model = load(path)
        executed = model.model if graph is None else read_executed(graph, path.parent)
    with output.working("Finding the modules of what ran"):
        sidecar = _sidecar_of(executed, model, (graph or path).name)
        measurement = attribute(
            whole.without_first(warmup),
            executed,
            sidecar,
            model=str(graph or path),
            settings=Settings(warmup=warmup),
        )
    return model, measurement


def _sidecar_of(executed: ir.Model, model: Hierarchy, name: str) -> Sidecar:
    """Return a sidecar of the executed graph: the model's own where the graph is the same."""
    if graph_digest(executed) == model.sidecar.model.graph_digest:
        return model.sidecar
    from hx_projector import relink

    return relink(executed, model.model, model.sidecar, file=name)


def _isolated(
    model: Hierarchy, rows: list[int], profile: Profile, request: ProfileRequest, output: Output
) -> BaseModel:
    from hx.records.profile import IsolatedReport
    from hx_profiler import isolate

    calls = [isolate(model, row, profile, **request.settings) for row in output.each(rows, "Timing alone")]
    return IsolatedReport(model=profile.model, settings=profile.settings, runs=profile.runs, calls=calls)


def _positions(model: Hierarchy, rows: Sequence[int], profile: Profile) -> list[int]:
    """Return where calls of a sidecar are in a profile."""
    wanted = {
        (model.sidecar.module_of(call).fqn, call.index) for call in map(model.sidecar.calls.__getitem__, rows)
    }
    return [position for position, call in enumerate(profile.calls) if (call.fqn, call.call) in wanted]


def _write(request: ProfileRequest, measurement: Measurement) -> None:
    """Write the files that are asked for, each whole or not at all."""
    import json

    from hx_profiler import to_chrome_trace, to_csv, to_html, to_speedscope

    makers = {
        "csv": lambda: to_csv(measurement.profile),
        "speedscope": lambda: json.dumps(to_speedscope(measurement)),
        "chrome": lambda: json.dumps(to_chrome_trace(measurement)),
        "html": lambda: to_html(measurement.profile),
    }
    for kind, path in request.files.items():
        if path is not None:
            with atomic_folder(path.parent) as staging:
                (staging / path.name).write_text(makers[kind](), encoding="utf-8")
