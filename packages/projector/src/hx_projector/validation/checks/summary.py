"""Whether the facts about the model are those of the file, and the counts of the summary those of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx_ir as ir

from hx_graph import dims_of
from hx_projector._categories import count_categories, summary_of
from hx_projector.validation.findings import Finding
from hx_projector.validation.pair import ModelAndSidecar, listed
from hx_sidecar_schema import (
    EMBEDDED,
    CategoryStatistics,
    HxError,
    ModelInfo,
    Sidecar,
    Summary,
    TensorInfo,
    from_embedded,
    graph_digest,
)


def digest(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that the sidecar was written for this very graph (V03)."""
    found, recorded = graph_digest(pair.model), pair.sidecar.model.graph_digest
    if found != recorded:
        message = f"The sidecar is of the graph {recorded[:16]!r}, the file holds {found[:16]!r}."
        yield Finding.of("V03", "model", message)


def embedded_sidecar(pair: ModelAndSidecar, path: Path) -> Iterator[Finding]:
    """Check that a sidecar in the file's own metadata says the same (V05)."""
    text = pair.model.metadata_props.get(EMBEDDED)
    if text is None:
        return
    try:
        inside = from_embedded(text, path)
    except HxError as error:
        yield Finding.of("V05", "model", error.message)
        return
    differing = [
        field
        for field in Sidecar.model_fields
        if field not in ("schema_version", "generator", "model")
        and getattr(inside, field) != getattr(pair.sidecar, field)
    ]
    if inside.model.graph_digest != pair.sidecar.model.graph_digest:
        differing.insert(0, "graph_digest")
    if differing:
        yield Finding.of("V05", "model", f"They differ in {listed(differing)}.")


def expected_info(pair: ModelAndSidecar, file: str) -> ModelInfo:
    """Return what the file says of itself, with the recorded digests and examples."""
    recorded, graph = pair.sidecar.model, pair.model.graph
    weights = {row.name for row in pair.sidecar.initializers} - {info.name for info in recorded.inputs}
    return recorded.model_copy(
        update={
            "file": file,
            "opset_imports": dict(pair.model.opset_imports),
            "ir_version": pair.model.ir_version,
            "inputs": _tensors([value for value in graph.inputs if value.name not in weights], recorded.inputs),
            "outputs": _tensors(graph.outputs, recorded.outputs),
        }
    )


def _tensors(values: Sequence[ir.Value], recorded: Sequence[TensorInfo]) -> list[TensorInfo]:
    examples = {info.name: info.example for info in recorded}
    return [
        TensorInfo(
            name=value.name or "",
            dtype=value.dtype.name if value.dtype else "UNDEFINED",
            shape=dims_of(value.shape),
            example=examples.get(value.name or ""),
        )
        for value in values
    ]


def model_info(pair: ModelAndSidecar, file: str) -> Iterator[Finding]:
    """Check that file name, versions, inputs and outputs are those of the file, and that examples fit (V04)."""
    recorded, expected = pair.sidecar.model, expected_info(pair, file)
    for field in ("file", "opset_imports", "ir_version"):
        here, there = getattr(recorded, field), getattr(expected, field)
        if here != there:
            yield Finding.of("V04", f"model.{field}", f"The sidecar says {here!r}, the file {there!r}.")
    for field in ("inputs", "outputs"):
        here, there = ([_signature(info) for info in getattr(side, field)] for side in (recorded, expected))
        if here != there:
            message = f"The sidecar says {', '.join(here)}; the file {', '.join(there)}."
            yield Finding.of("V04", f"model.{field}", message)
    for info in recorded.inputs:
        if info.example is not None and not _fits(info.example.shape, info.shape):
            message = f"Its example is {info.example.shape}, the input {info.shape}."
            yield Finding.of("V04", f"model.inputs.{info.name}", message)


def _fits(example: Sequence[int], shape: Sequence[int | str]) -> bool:
    return not shape or (
        len(example) == len(shape)
        and all(isinstance(dim, str) or dim == size for size, dim in zip(example, shape, strict=True))
    )


def _signature(info: TensorInfo) -> str:
    return f"{info.name} {info.dtype}[{','.join(map(str, info.shape))}]"


def expected_summary(pair: ModelAndSidecar) -> Summary:
    """Return the summary that the rows of nodes give.

    Rows of a file of format 1.0 may be known though they are not marked so: there the recorded numbers stay where they
    are possible. A summary without categories stays without.
    """
    recorded, rows = pair.sidecar.summary, pair.sidecar.nodes
    is_old = pair.sidecar.schema_version == "1.0"
    counts = count_categories((row.op_type, row.known, row.confidence == "high") for row in rows)
    counted = summary_of(counts)
    if not recorded.category_statistics:
        stays = is_old and counted.covered_percent <= recorded.covered_percent <= 100
        covered = recorded.covered_percent if stays else counted.covered_percent
        return counted.model_copy(update={"covered_percent": covered, "category_statistics": {}})
    for name, (total, covered, exact) in counts.items() if is_old else ():
        category = recorded.category_statistics.get(name)
        if category is not None and covered <= category.tagged <= total:
            counts[name] = (total, category.tagged, exact)
    return summary_of(counts)


def summary(pair: ModelAndSidecar) -> Iterator[Finding]:
    """Check that the numbers of the summary are those that counting gives (V60)."""
    recorded, expected = pair.sidecar.summary, expected_summary(pair)
    for field in ("nodes", "exact_percent", "covered_percent"):
        here, there = getattr(recorded, field), getattr(expected, field)
        if here != there:
            yield Finding.of("V60", f"summary.{field}", f"It is {here}; the rows give {there}.")
    for name in {**expected.category_statistics, **recorded.category_statistics}:
        one, other = (side.category_statistics.get(name) for side in (recorded, expected))
        if one != other:
            message = f"It is {_numbers(one)}; the rows give {_numbers(other)}."
            yield Finding.of("V60", f"summary.{name}", message)


def _numbers(row: CategoryStatistics | None) -> str:
    if row is None:
        return "not there"
    return f"{row.total} nodes, {row.tagged} tagged ({row.percentage} %), {row.exact} exact"
