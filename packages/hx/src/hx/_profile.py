"""Where the time goes in what ONNX Runtime really runs, by module call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx_ir as ir

import hx_profiler
from hx._file_inputs import Shapes, with_inputs
from hx._models import AnyHierarchy, name_of, opened
from hx._progress import Progress, each, silent
from hx._tensors import Inputs
from hx.files import check_writable, write_text
from hx.records.profile import AloneReport, IsolatedReport
from hx_extractor import Call, Hierarchy
from hx_profiler import AloneCall, Measurement, Profile, ProfileComparison, Settings, Trace
from hx_projector import relink
from hx_sidecar_schema import HxError, RuntimeRefusal, UnavailableValue, check_choice, graph_digest, refuse_existing

FILES: dict[str, Callable[[Measurement], str]] = {
    "csv": lambda found: hx_profiler.to_csv(found.profile),
    "speedscope": lambda found: json.dumps(hx_profiler.to_speedscope(found), ensure_ascii=False),
    "chrome": lambda found: json.dumps(hx_profiler.to_chrome_trace(found), ensure_ascii=False),
    "html": lambda found: hx_profiler.to_html(found.profile),
}
"""What makes the text of a file, by its kind."""


def profile(
    model: AnyHierarchy,
    inputs: Inputs | None = None,
    *,
    input_shapes: Shapes | None = None,
    modules: str | Sequence[str] = (),
    runs: int = 20,
    warmup: int | None = None,
    optimization: str = "all",
    provider: str = "cpu",
    threads: int = 0,
    trace: str | Path | None = None,
    graph: str | Path | None = None,
    files: Mapping[str, str | Path] | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Profile:
    """Give the time of every kernel that really runs to the module call that it belongs to.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),))
        >>> found = hx.profile(exported, runs=3)
        >>> found.kernels_us == sum(call.self_us for call in found.calls) + found.unattributed_us
        True

    Args:
        model: An export or a relinked model, or the file of one; one in memory is run from there.
        inputs: Arrays or tensors by the names of the ONNX model's inputs, or a file of them. None: the recorded ones.
        input_shapes: Other sizes of recorded inputs, or sizes of inputs that were not recorded.
        modules: Patterns of the calls that are asked for: `roots` of the profile.
        runs: Measured runs.
        warmup: Runs before them, which are left out. None: 3, and none of a `trace`.
        optimization: What ONNX Runtime may change before it runs: `disable`, `basic`, `extended` or `all`.
        provider: `cpu`, `cuda`, or ONNX Runtime's full name of an execution provider.
        threads: Within an operator; 0 for ONNX Runtime's choice.
        trace: A profile that ONNX Runtime wrote elsewhere; nothing runs then.
        graph: The graph that it ran, of `optimized_model_filepath`; None: the model itself.
        files: Files to write too, by kind: `csv`, `speedscope`, `chrome`, `html`.
        overwrite: Replace such files that exist.
        progress: Told what goes on.

    Returns:
        Time by call; the fields are told in `hx.Profile`.

    Raises:
        HxError: HX402, HX306 before any work where a file could not be written; HX206 or HX409 for inputs that are missing
            or do not fit, HX207 if ONNX Runtime refuses the model, HX401 if a pattern matches nothing,
            HX406 if there is no such kind of file; else as `load`.
    """
    targets = {kind: Path(path) for kind, path in (files or {}).items()}
    for kind in targets:
        check_choice("files", kind, FILES)
    if len({path.resolve() for path in targets.values()}) < len(targets):
        message = f"Two of the files {', '.join(repr(str(path)) for path in targets.values())} are one."
        raise HxError(message, code="HX405", hint="Give each kind a file of its own.", argument="files")
    hierarchy = opened(model)
    also_read = [Path(one) for one in (inputs, trace, graph) if isinstance(one, str | Path)]
    refuse_existing(targets.values(), overwrite=overwrite, read=chain(hierarchy.files(), also_read))
    for path in targets.values():
        check_writable(path.parent, "files")
    if trace is not None:
        found = _from_trace(hierarchy, Path(trace), graph, warmup or 0, progress)
    else:
        settings = _without_none(
            runs=runs, warmup=warmup, optimization=optimization, provider=provider, threads=threads
        )
        found = _measured(_opened(hierarchy, inputs, input_shapes, progress), settings, progress)
    if modules:
        wanted = {(call.fqn, call.index) for call in hierarchy.calls(modules)}
        roots = [row for row, call in enumerate(found.profile.calls) if (call.fqn, call.call) in wanted]
        found = replace(found, profile=found.profile.model_copy(update={"roots": roots}))
    for kind, path in targets.items():
        write_text(path, FILES[kind](found))
    return found.profile


def profile_alone(
    model: AnyHierarchy,
    modules: str | Sequence[str] | None = None,
    inputs: Inputs | None = None,
    *,
    input_shapes: Shapes | None = None,
    runs: int = 20,
    warmup: int | None = None,
    optimization: str = "all",
    provider: str = "cpu",
    threads: int = 0,
    progress: Progress = silent,
) -> AloneReport:
    """Time calls alone, and not the whole model, which runs once for what the calls get in it.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> hx.profile_alone(exported, "0", runs=3).calls[0].alone_operators
        {'Gemm': 1}

    Args:
        model: As of `profile`.
        modules: Patterns of the calls, `2/4` for every fourth from the second on; None for all calls.
        inputs: As of `profile`; a call alone gets what it gets in the model for them.
        input_shapes: As of `profile`.
        runs: As of `profile`, and all that follow.
        warmup: Runs before them, which are left out; None: 3.
        optimization: What ONNX Runtime may change before it runs.
        provider: ONNX Runtime's execution provider.
        threads: Within an operator.
        progress: Told what goes on.

    Returns:
        The time of each call; the fields are told in `hx.records.profile`.

    Raises:
        HxError: As `profile`.
    """
    hierarchy = _opened(model, inputs, input_shapes, progress)
    settings = _without_none(runs=runs, warmup=warmup, optimization=optimization, provider=provider, threads=threads)
    calls = _alone(hierarchy, hierarchy.calls(modules), settings, progress)
    return AloneReport(model=Path(hierarchy.name).name, calls=calls)


def profile_isolated(
    model: AnyHierarchy,
    modules: str | Sequence[str] | None = None,
    inputs: Inputs | None = None,
    *,
    input_shapes: Shapes | None = None,
    runs: int = 20,
    warmup: int | None = None,
    optimization: str = "all",
    provider: str = "cpu",
    threads: int = 0,
    measured: Sequence[AloneReport] = (),
    progress: Progress = silent,
) -> IsolatedReport:
    """Time calls alone too, beside their time in the model, and say what differs.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.ones(2, 4),))
        >>> [call.fqn for call in hx.profile_isolated(exported, "0", runs=3).calls]
        ['0']

    Args:
        model: As of `profile`.
        modules: Patterns of the calls; None for all.
        inputs: As of `profile`; a call alone gets what it gets in the model for them.
        input_shapes: As of `profile`.
        runs: As of `profile`, and all that follow: of the model, and of each call alone.
        warmup: Runs before them, which are left out; None: 3.
        optimization: What ONNX Runtime may change before it runs.
        provider: ONNX Runtime's execution provider.
        threads: Within an operator.
        measured: What `profile_alone` returned for calls of this model: they are not timed alone again.
        progress: Told what goes on.

    Returns:
        Both times of each call; the fields are told in `hx.records.profile`.

    Raises:
        HxError: As `profile`.
    """
    hierarchy = _opened(model, inputs, input_shapes, progress)
    calls = hierarchy.calls(modules)
    settings = _without_none(runs=runs, warmup=warmup, optimization=optimization, provider=provider, threads=threads)
    whole = _measured(hierarchy, settings, progress).profile
    known = {(one.fqn, one.call): one for report in measured for one in report.calls}
    left = [call for call in calls if (call.fqn, call.index) not in known]
    known |= {(one.fqn, one.call): one for one in _alone(hierarchy, left, settings, progress)}
    found = [hx_profiler.beside_model(known[call.fqn, call.index], whole) for call in calls]
    return IsolatedReport(model=whole.model, settings=whole.settings, runs=whole.runs, calls=found)


def compare_profiles(before: Profile | str | Path, after: Profile | str | Path) -> ProfileComparison:
    """Say what changed between two profiles, in time by module.

    Examples:
        >>> import torch, hx
        >>> exported = hx.export(torch.nn.Linear(4, 3), (torch.ones(2, 4),))
        >>> found = hx.profile(exported, runs=3)
        >>> hx.compare_profiles(found, found).modules[0].change_us
        0.0

    Args:
        before: A profile, or the file of one: the JSON of `hx profile --json`.
        after: The other one.

    Returns:
        Times by module on both sides; the fields are told in `hx.ProfileComparison`.

    Raises:
        HxError: HX307 if a file cannot be read.
    """
    first, second = (side if isinstance(side, Profile) else Profile.load(side) for side in (before, after))
    return hx_profiler.compare(first, second)


def _without_none(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _opened(model: AnyHierarchy, inputs: Inputs | None, input_shapes: Shapes | None, progress: Progress) -> Hierarchy:
    progress(f"Reading {name_of(model)}", 0, 0)
    hierarchy = opened(model)
    hierarchy.refuse_without_weights()
    return with_inputs(hierarchy, inputs, input_shapes)


def _measured(model: Hierarchy, settings: Mapping[str, Any], progress: Progress) -> Measurement:
    """Run a model, and give its kernels to calls."""
    feeds = model.example_inputs()
    progress(f"Running {model.name}", 0, 0)
    with TemporaryDirectory(prefix="hx-profile-") as folder:
        done = hx_profiler.execute(model.path or model.model, feeds, Path(folder), graph=model.model, **settings)
        progress("Finding the modules of what ran", 0, 0)
        return _attributed(done.trace, done.executed, model, model.name, done.settings, done.notes)


def _alone(model: Hierarchy, calls: Sequence[Call], settings: Mapping[str, Any], progress: Progress) -> list[AloneCall]:
    """Time calls alone; the model runs once for what all of them get in it."""
    ports = [port for call in calls if call.status == "extractable" for port in call.inputs if not port.unused]
    with suppress(RuntimeRefusal, UnavailableValue):  # what can be computed is, when a call needs it
        model.compute(port.carrier for port in ports if model.holds(port.carrier))
    return [hx_profiler.time_alone(model, call.row, **settings) for call in each(calls, "Timing alone", progress)]


def _from_trace(
    model: Hierarchy, trace: Path, graph: str | Path | None, warmup: int, progress: Progress
) -> Measurement:
    """Give the kernels of a profile that was taken elsewhere to calls."""
    progress(f"Reading {trace}", 0, 0)
    whole = hx_profiler.read_trace(trace)
    warmup = min(warmup, len(whole.runs) - 1)
    name = model.name if graph is None else str(graph)
    executed = model.model if graph is None else hx_profiler.read_executed(Path(graph), model.folder or Path())
    progress("Finding the modules of what ran", 0, 0)
    return _attributed(whole.without_first(warmup), executed, model, name, Settings(warmup=warmup))


def _attributed(
    trace: Trace, executed: ir.Model, model: Hierarchy, name: str, settings: Settings, notes: Sequence[str] = ()
) -> Measurement:
    """Give kernels to calls, by the model's own sidecar where the graph that was executed is the same."""
    name, sidecar = Path(name).name, model.sidecar
    if graph_digest(executed) != sidecar.model.graph_digest:
        sidecar = relink(executed, model.model, sidecar, file=name)
    found = hx_profiler.attribute(trace, executed, sidecar, model=name, settings=settings, notes=notes)
    return replace(found, profile=found.profile.model_copy(update={"graph_digest": model.sidecar.model.graph_digest}))
