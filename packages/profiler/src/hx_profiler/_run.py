"""Running a model under ONNX Runtime's profiler, and keeping the graph that the session executed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from hx_graph import all_nodes, import_runtime, read_model, run_session
from hx_graph import open_session as graph_session
from hx_profiler._records import Settings
from hx_profiler._trace import Trace, read_trace
from hx_sidecar_schema import HxError, first_line

LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""Levels of graph optimisation with ONNX Runtime's names."""
EXECUTED, EXECUTED_WEIGHTS = "executed.onnx", "executed.bin"
LARGE_BYTES = 1_000_000_000
"""From here on the executed graph may not fit into a model file, which ends at 2 GB: its weights go to another."""
WEIGHT_BYTES = 1024
"""Of these the ones at least this large; shape inference must read shapes and other constants."""


@dataclass(frozen=True)
class Execution:
    """What a profiled session did.

    Attributes:
        trace: The measured runs alone.
        executed: The graph that it executed; weights may lie in the folder that `execute` was given.
        settings: How it ran.
        files: ONNX Runtime's profile, and the file of that graph.
        notes: What a reader must know.
        running_s: Seconds from making the session to the end of its profile.
    """

    trace: Trace
    executed: ir.Model
    settings: Settings
    files: tuple[Path, Path]
    notes: list[str]
    running_s: float


def execute(
    path: Path,
    feeds: Mapping[str, NDArray[Any]],
    folder: Path,
    *,
    runs: int = 20,
    warmup: int = 3,
    optimization: str = "all",
    provider: str = "cpu",
    threads: int = 0,
) -> Execution:
    """Run a model under ONNX Runtime's profiler.

    The model is given as it is, where its nodes have names of their own; else a copy in memory whose nodes do, since
    a profile tells nodes apart by name. Measured on 1.31: that the session also writes its graph changes neither the
    kernels nor their time.

    Args:
        path: The ONNX file; never changed.
        feeds: An array for every input.
        folder: Where the session's profile and graph go; the caller's to remove.
        runs: How many are measured.
        warmup: How many run before them.
        optimization: A key of `LEVELS`.
        provider: `cpu`, `cuda`, or ONNX Runtime's full name.
        threads: Within an operator; 0 for ONNX Runtime's choice.

    Raises:
        HxError: HX202, HX204 if the file cannot be read, HX207 if ONNX Runtime refuses model or inputs, HX406 if
            level or provider is unknown.
    """
    model = read_model(path)
    source: Path | bytes = path
    entries: dict[str, str] = {}
    if name_nodes(model):
        source = ir.serde.serialize_model(model).SerializeToString()
        entries["model_external_initializers_file_folder_path"] = str(path.parent.resolve())

    def session(**more: str) -> Any:
        return _session(
            source,
            str(path),
            optimization,
            provider,
            entries={f"session.{name}": value for name, value in (entries | more).items()},
            intra_op_num_threads=threads,
            enable_profiling=True,
            profile_file_prefix=str(folder / "profile"),
            optimized_model_filepath=str(folder / EXECUTED),
        )

    start = time.perf_counter()
    try:
        running = session()
    except HxError:
        if _weight_bytes(model) < LARGE_BYTES:
            raise
        running = session(
            optimized_model_external_initializers_file_name=EXECUTED_WEIGHTS,
            optimized_model_external_initializers_min_size_in_bytes=str(WEIGHT_BYTES),
        )
    for _ in range(warmup + runs):
        run_session(running, feeds)
    profile = Path(running.end_profiling())
    running_s = time.perf_counter() - start
    whole = read_trace(profile)
    trace = whole.without_first(min(warmup, len(whole.runs) - 1))
    notes = []
    if len(whole.runs) < warmup + runs:  # ONNX Runtime stops at a million events
        notes.append(f"ONNX Runtime's profile holds {len(whole.runs)} of {warmup + runs} runs: it is full.")
    settings = Settings(
        onnxruntime=import_runtime("hx-extractor").__version__,  # its distribution has several names
        providers=list(running.get_providers()),
        optimization=optimization,
        threads=threads,
        warmup=warmup,
    )
    executed = folder / EXECUTED
    return Execution(
        trace, read_executed(executed, path.parent), settings, (profile, executed), notes, running_s
    )


def open_session(path: Path, *, optimization: str = "all", provider: str = "cpu", threads: int = 0) -> Any:
    """Return an `onnxruntime.InferenceSession` as `execute` makes it, without profiling.

    Raises:
        HxError: HX207 if ONNX Runtime refuses the model, HX406 if level or provider is unknown.
    """
    return _session(path, str(path), optimization, provider, intra_op_num_threads=threads)


def _session(source: Path | bytes, name: str, optimization: str, provider: str, **options: Any) -> Any:
    ort = import_runtime("hx-extractor")
    if optimization not in LEVELS:
        raise HxError(
            f"Optimisation level {optimization!r} is unknown.",
            code="HX406",
            hint=f"Take one of {', '.join(LEVELS)}.",
        )
    providers = _providers(provider, ort.get_available_providers())
    level = getattr(ort.GraphOptimizationLevel, LEVELS[optimization])
    try:
        return graph_session(
            source, package="hx-extractor", providers=providers, graph_optimization_level=level, **options
        )
    except Exception as error:  # a type of its own for each status
        raise HxError(
            f"ONNX Runtime refuses {name!r}: {first_line(error)}",
            code="HX207",
            hint="Check that the provider supports the model; `--provider cpu` is the widest.",
        ) from error


def read_executed(path: Path, weights: Path) -> ir.Model:
    """Read the graph that a session executed; its weights may lie beside the model that it was made of.

    Args:
        path: Of the graph.
        weights: Folder of that model.

    Raises:
        HxError: HX202 if the file is missing or is no ONNX model.
    """
    try:
        model = ir.load(path)
    except Exception as error:  # protobuf and onnx_ir raise many kinds for bytes that are no model
        raise HxError(
            f"Graph {str(path)!r} cannot be read: {first_line(error)}",
            code="HX202",
            hint="Name the file of SessionOptions.optimized_model_filepath.",
        ) from error
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and not (path.parent / tensor.location).exists():
            tensor.base_dir = weights
    return model


def name_nodes(model: ir.Model) -> bool:
    """Give every node a name that no other has, in place; names that are already so stay.

    Returns:
        Whether a name was changed.
    """
    nodes = [node for _, node in all_nodes(model)]
    taken = {node.name for node in nodes if node.name}
    seen: set[str] = set()
    changed = False
    for number, node in enumerate(nodes):
        if node.name and node.name not in seen:
            seen.add(node.name)
            continue
        name = f"{node.name or node.op_type}_hx{number}"
        while name in taken:
            name += "_"
        node.name = name
        taken.add(name)
        seen.add(name)
        changed = True
    return changed


def _providers(name: str, available: list[str]) -> list[str]:
    """Return the provider that is meant, and the one that takes what it cannot run."""
    short = {one.removesuffix("ExecutionProvider").lower(): one for one in available}
    found = short.get(name.removesuffix("ExecutionProvider").lower())
    if found is None:
        raise HxError(
            f"Execution provider {name!r} is not available.",
            code="HX406",
            hint=f"This onnxruntime has {', '.join(short)}.",
        )
    return list(dict.fromkeys([found, "CPUExecutionProvider"]))


def _weight_bytes(model: ir.Model) -> int:
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)
