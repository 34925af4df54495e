"""Running a model under ONNX Runtime's profiler, and keeping the graph that the session executed."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from hx_graph import all_nodes, import_runtime, make_session, open_session, read_model, refusal_of, run_session
from hx_profiler._records import Settings
from hx_profiler._trace import Trace, read_trace
from hx_sidecar_schema import HxError, MissingKernel, first_line

LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""Levels of graph optimisation, with ONNX Runtime's names for them."""
EXECUTED, EXECUTED_WEIGHTS = "executed.onnx", "executed.bin"
LARGE_BYTES = 1_000_000_000
"""Models with more weights than this may be refused because the executed graph does not fit into one file of 2 GB;
the session is then told to write its weights to a second file."""
WEIGHT_BYTES = 1024
"""Smaller weights stay in the graph's own file: shape inference must read shapes and other constants there."""


@dataclass(frozen=True)
class Execution:
    """The result of running a model under ONNX Runtime's profiler."""

    trace: Trace
    """Without the warm-up."""
    executed: ir.Model
    """The graph that the session executed; its weights may lie in the folder that `execute` was given."""
    settings: Settings
    files: tuple[Path, Path]
    """ONNX Runtime's profile, and the file of the executed graph."""
    notes: list[str]
    """Sentences that a reader of the profile must know."""
    running_s: float
    """From creating the session to the end of its profile."""


def execute(
    model: Path | ir.Model,
    feeds: Mapping[str, NDArray[Any]],
    folder: Path,
    *,
    graph: ir.Model | None = None,
    runs: int = 20,
    warmup: int = 3,
    optimization: str = "all",
    provider: str = "cpu",
    threads: int = 0,
) -> Execution:
    """Run a model under ONNX Runtime's profiler.

    A profile tells nodes apart by name. A file whose nodes have different names is given to ONNX Runtime as it is;
    otherwise it gets a copy whose nodes have. Measured with ONNX Runtime 1.31: that the session also writes its graph
    changes neither the kernels nor their time.

    Args:
        model: An ONNX file, which is never written; or a model in memory, whose nodes have other names while it runs.
        feeds: An array for every input.
        folder: Where the session writes its profile and graph; the caller removes it.
        graph: What the file holds, where it was read before; used as a model in memory is.
        runs: Number of measured runs.
        warmup: Number of runs before them, which are not measured.
        optimization: A key of `LEVELS`.
        provider: `cpu`, `cuda`, or ONNX Runtime's full name of an execution provider.
        threads: Threads within an operator; 0 for ONNX Runtime's choice.

    Raises:
        HxError: HX202, HX204 if the file cannot be read, HX207 if ONNX Runtime refuses model or inputs, HX406 if
            the level or the provider is unknown.
    """
    file, graph = (model, graph or read_model(model)) if isinstance(model, Path) else (None, model)
    weights = file.parent if file is not None else None
    start = time.perf_counter()
    with unique_node_names(graph) as renamed:
        source = graph if file is None or renamed else file
        options: dict[str, Any] = {
            "weights": weights,
            "optimization": optimization,
            "provider": provider,
            "threads": threads,
            "enable_profiling": True,
            "profile_file_prefix": str(folder / "profile"),
            "optimized_model_filepath": str(folder / EXECUTED),
        }
        try:
            running = new_session(source, **options, entries={})
        except HxError:
            tensors = (value.const_value for value in graph.graph.initializers.values())
            if sum(tensor.nbytes for tensor in tensors if tensor is not None) < LARGE_BYTES:
                raise
            beside = "session.optimized_model_external_initializers"
            entries = {f"{beside}_file_name": EXECUTED_WEIGHTS, f"{beside}_min_size_in_bytes": str(WEIGHT_BYTES)}
            running = new_session(source, **options, entries=entries)
    for _ in range(warmup + runs):
        run_session(running, feeds)
    profile = Path(running.end_profiling())
    running_s = time.perf_counter() - start
    whole = read_trace(profile)
    notes = []
    if len(whole.runs) < warmup + runs:  # ONNX Runtime stops at a million events
        notes.append(f"ONNX Runtime's profile holds {len(whole.runs)} of {warmup + runs} runs: it is full.")
    settings = Settings(
        onnxruntime=import_runtime().__version__,  # its distribution has several names
        providers=list(running.get_providers()),
        optimization=optimization,
        threads=threads,
        warmup=warmup,
    )
    executed = read_executed(folder / EXECUTED, weights or folder)
    trace = whole.without_first(min(warmup, len(whole.runs) - 1))
    return Execution(trace, executed, settings, (profile, folder / EXECUTED), notes, running_s)


def new_session(
    model: Path | ir.Model,
    weights: Path | None = None,
    *,
    optimization: str = "all",
    provider: str = "cpu",
    threads: int = 0,
    **options: Any,
) -> Any:
    """Return an `onnxruntime.InferenceSession` that runs a model as `execute` does.

    The external weights of a model in memory lie in the folder `weights`; None to read them from where they say they lie.
    `options` are further arguments of `hx_graph.open_session`.

    Raises:
        HxError: HX207 if ONNX Runtime refuses the model, HX406 if the level or the provider is unknown.
    """
    ort = import_runtime()
    if optimization not in LEVELS:
        message = f"Optimisation level {optimization!r} is unknown."
        raise HxError(message, code="HX406", hint=f"Take one of {', '.join(LEVELS)}.")
    settings: dict[str, Any] = {
        **options,
        "providers": _providers(provider, ort.get_available_providers()),
        "graph_optimization_level": getattr(ort.GraphOptimizationLevel, LEVELS[optimization]),
        "intra_op_num_threads": threads,
    }
    try:
        return open_session(model, **settings) if isinstance(model, Path) else make_session(model, weights, **settings)
    except MissingKernel:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        name = repr(str(model)) if isinstance(model, Path) else "the model"
        raise HxError(
            error.message if isinstance(error, HxError) else f"ONNX Runtime refuses {name}: {refusal_of(error)}.",
            code="HX207",
            hint="Check that the execution provider supports the model; `cpu` is the widest.",
            argument="provider",
        ) from error


def read_executed(path: Path, weights: Path) -> ir.Model:
    """Read the graph that a session wrote to `SessionOptions.optimized_model_filepath`.

    External weights that do not lie beside it lie in the folder `weights`, that of the model it was made of.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model.
    """
    try:
        model = ir.load(path)
    except Exception as error:  # protobuf and onnx_ir raise many kinds for bytes that are no model
        hint = "Name the file of SessionOptions.optimized_model_filepath."
        raise HxError(f"Graph {str(path)!r} cannot be read: {first_line(error)}", code="HX202", hint=hint) from error
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and not (path.parent / tensor.location).exists():
            tensor.base_dir = weights
    return model


@contextmanager
def unique_node_names(model: ir.Model) -> Generator[bool]:
    """Give every node a name that no other node has, and yield whether one was changed; on exit nodes have their own again.

    Names that only one node has stay.
    """
    nodes = [node for _, node in all_nodes(model)]
    names = [node.name for node in nodes]
    taken, seen = set(names), {None, ""}
    try:
        for number, node in enumerate(nodes):
            name = node.name
            if name in seen:
                name = f"{name or node.op_type}_hx{number}"
                while name in taken:
                    name += "_"
                node.name = name
                taken.add(name)
            seen.add(name)
        yield names != [node.name for node in nodes]
    finally:
        for node, name in zip(nodes, names, strict=True):
            node.name = name


def _providers(name: str, available: list[str]) -> list[str]:
    """Return the full names of an execution provider and of the CPU's, which runs what the first one cannot."""
    short = {one.removesuffix("ExecutionProvider").lower(): one for one in available}
    found = short.get(name.removesuffix("ExecutionProvider").lower())
    if found is None:
        message = f"Execution provider {name!r} is not available."
        raise HxError(message, code="HX406", hint=f"This onnxruntime has {', '.join(short)}.")
    return list(dict.fromkeys([found, "CPUExecutionProvider"]))
