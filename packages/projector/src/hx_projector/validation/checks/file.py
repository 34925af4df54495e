"""Whether a model file is valid by itself, and what the sidecar says of the file is so."""

from collections.abc import Iterator

from hx_graph import (
    NO_PREPACKING,
    can_be_equal,
    check_proto,
    has_large_weights,
    lacks_weights,
    make_session,
    open_session,
    refusal_of,
    return_freed_memory,
)
from hx_projector.attribution.assemble import tensor_infos
from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import ModelAndSidecar, listed
from hx_sidecar_schema import (
    EMBEDDED,
    HxError,
    MissingKernel,
    ModelInfo,
    RuntimeRefusal,
    Sidecar,
    TensorInfo,
    from_embedded,
    graph_digest,
)

RUNTIME_NODES = 250_000
"""ONNX Runtime (1.31) takes 4 to 23 s to load 100,000 nodes, and ten times the nodes a hundred times as long."""


def accepted_by_checker(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that the ONNX checker accepts the file (V01), but for what `check_proto` lets pass. External weights are not read."""
    import onnx

    try:
        try:
            onnx.checker.check_model(str(pair.path))
        except onnx.checker.ValidationError:
            check_proto(onnx.load(pair.path, load_external_data=False))
    except (onnx.checker.ValidationError, ValueError) as error:
        yield "V01", "model", f"The ONNX checker refuses it: {_line(error)}"


def loaded_by_runtime(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that ONNX Runtime loads the file (V02).

    Raises:
        HxError: HX209 if it is not installed, HX207 for so many nodes that it would take very long.
        MissingKernel: If it has no kernel for the types of an operator: the file may be right.
    """
    if len(pair.nodes) > RUNTIME_NODES:
        message = f"It takes time quadratic in the number of nodes, here {len(pair.nodes)}, and is not asked beyond {RUNTIME_NODES}."
        raise HxError(
            message, code="HX207", hint="Load the file in ONNX Runtime itself, with `onnxruntime.InferenceSession`."
        )
    try:
        if lacks_weights(pair.model):
            make_session(pair.model, pair.path.parent)
        else:
            # Rearranged weights are for runs, and take as much memory as the weights; without them ONNX Runtime (1.31)
            # takes time quadratic in the number of weights.
            open_session(pair.path, entries={NO_PREPACKING: "1"} if has_large_weights(pair.model.graph) else {})
    except MissingKernel:
        raise
    except RuntimeRefusal as error:
        yield "V02", "model", error.message
    except HxError:
        raise
    except Exception as error:  # noqa: BLE001 ONNX Runtime's exceptions share no base class; all others are a finding
        yield "V02", "model", f"ONNX Runtime does not load it: {refusal_of(error)}."
    finally:
        return_freed_memory()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def digest(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that the sidecar was written for this very graph (V03)."""
    found, recorded = graph_digest(pair.model), pair.sidecar.model.graph_digest
    if found != recorded:
        yield "V03", "model", f"The sidecar is of the graph {recorded[:16]!r}, the file holds {found[:16]!r}."


def embedded_sidecar(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that a sidecar in the file's own metadata says the same (V05)."""
    text = pair.model.metadata_props.get(EMBEDDED)
    if text is None:
        return
    try:
        inside = from_embedded(text, pair.path, check=False)
    except HxError as error:
        yield "V05", "model", error.message
        return
    fields = [field for field in Sidecar.model_fields if field not in ("schema_version", "generator", "model")]
    differing = [field for field in fields if getattr(inside, field) != getattr(pair.sidecar, field)]
    if inside.model.graph_digest != pair.sidecar.model.graph_digest:
        differing.insert(0, "graph_digest")
    if differing:
        yield "V05", "model", f"They differ in {listed(differing)}."


def expected_info(pair: ModelAndSidecar) -> ModelInfo:
    """Return what the file says of itself, with the recorded digests and examples."""
    recorded, graph = pair.sidecar.model, pair.model.graph
    weights = {row.name for row in pair.sidecar.initializers} - {info.name for info in recorded.inputs}
    examples = {info.name: info.example for info in recorded.inputs}
    return recorded.model_copy(
        update={
            "file": pair.path.name,
            "opset_imports": dict(pair.model.opset_imports),
            "ir_version": pair.model.ir_version,
            "inputs": tensor_infos([value for value in graph.inputs if value.name not in weights], examples),
            "outputs": tensor_infos(graph.outputs, {info.name: info.example for info in recorded.outputs}),
        }
    )


def model_info(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that file name, versions, inputs and outputs are those of the file, and that examples fit (V04)."""
    recorded, expected = pair.sidecar.model, expected_info(pair)
    for field in ("file", "opset_imports", "ir_version"):
        here, there = getattr(recorded, field), getattr(expected, field)
        if here != there:
            yield "V04", f"model.{field}", f"The sidecar says {here!r}, the file {there!r}."
    for field in ("inputs", "outputs"):
        here, there = ([_signature(info) for info in getattr(side, field)] for side in (recorded, expected))
        if here != there:
            yield "V04", f"model.{field}", f"The sidecar says {', '.join(here)}; the file {', '.join(there)}."
    for info in recorded.inputs:
        if info.example is not None and info.shape and not can_be_equal(info.example.shape, info.shape):
            yield "V04", f"model.inputs.{info.name}", f"Its example is {info.example.shape}, the input {info.shape}."


def _signature(info: TensorInfo) -> str:
    return f"{info.name} {info.dtype}[{','.join(map(str, info.shape))}]"
