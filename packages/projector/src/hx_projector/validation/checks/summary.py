"""Whether the numbers of the summary are those of the rows, and the facts about the model those of the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from hx_graph import dims_of
from hx_projector.attribution.categories import count_categories, summary_of
from hx_projector.validation.findings import Finding
from hx_projector.validation.subject import Subject, named
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


def digest(subject: Subject) -> list[Finding]:
    """The sidecar was written for this very graph (V03)."""
    right, said = graph_digest(subject.model), subject.sidecar.model.graph_digest
    if right == said:
        return []
    return [
        Finding.of(
            "V03", "model", f"The sidecar is of the graph {said[:16]!r}, the file holds {right[:16]!r}."
        )
    ]


def sidecar_inside(subject: Subject, path: Path) -> list[Finding]:
    """A sidecar in the file's own metadata says the same (V05)."""
    text = subject.model.metadata_props.get(EMBEDDED)
    if text is None:
        return []
    try:
        inside = from_embedded(text, path)
    except HxError as error:
        return [Finding.of("V05", "model", error.message)]
    other = [
        field
        for field in Sidecar.model_fields
        if field not in ("schema_version", "generator", "model")
        and getattr(inside, field) != getattr(subject.sidecar, field)
    ]
    if inside.model.graph_digest != subject.sidecar.model.graph_digest:
        other.insert(0, "graph_digest")
    return [Finding.of("V05", "model", f"They differ in {named(other)}.")] if other else []


def recomputed_info(subject: Subject, file: str) -> ModelInfo:
    """Return what the file says of itself, with the recorded digest and examples."""
    said, model = subject.sidecar.model, subject.model
    weights = {row.name for row in subject.sidecar.initializers}
    inputs = [value for value in model.graph.inputs if value.name not in weights or _is_input(said, value)]
    return said.model_copy(
        update={
            "file": file,
            "opset_imports": dict(model.opset_imports),
            "ir_version": model.ir_version,
            "inputs": _tensors(inputs, said.inputs),
            "outputs": _tensors(model.graph.outputs, said.outputs),
        }
    )


def _is_input(said: ModelInfo, value: ir.Value) -> bool:
    return any(info.name == value.name for info in said.inputs)


def _tensors(values: Sequence[ir.Value], said: Sequence[TensorInfo]) -> list[TensorInfo]:
    examples = {info.name: info.example for info in said}
    return [
        TensorInfo(
            name=value.name or "",
            dtype=value.dtype.name if value.dtype else "UNDEFINED",
            shape=dims_of(value.shape),
            example=examples.get(value.name or ""),
        )
        for value in values
    ]


def model_info(subject: Subject, file: str) -> list[Finding]:
    """File name, versions, inputs and outputs are those of the file; examples fit the inputs (V04)."""
    said, right = subject.sidecar.model, recomputed_info(subject, file)
    findings: list[Finding] = []
    for field in ("file", "opset_imports", "ir_version"):
        one, other = getattr(said, field), getattr(right, field)
        if one != other:
            findings.append(
                Finding.of("V04", f"model.{field}", f"The sidecar says {one!r}, the file {other!r}.")
            )
    for field, ours, theirs in (
        ("inputs", said.inputs, right.inputs),
        ("outputs", said.outputs, right.outputs),
    ):
        if [_words(info) for info in ours] != [_words(info) for info in theirs]:
            here, there = (", ".join(_words(info) for info in infos) for infos in (ours, theirs))
            findings.append(
                Finding.of("V04", f"model.{field}", f"The sidecar says {here}; the file {there}.")
            )
    for info in said.inputs:
        example = info.example
        if example is not None and not _fits(example.shape, info.shape):
            findings.append(
                Finding.of(
                    "V04",
                    f"model.inputs.{info.name}",
                    f"Its example is {example.shape}, the input {info.shape}.",
                )
            )
    return findings


def _fits(example: Sequence[int], shape: Sequence[int | str]) -> bool:
    return not shape or (
        len(example) == len(shape)
        and all(isinstance(dim, str) or dim == size for size, dim in zip(example, shape, strict=True))
    )


def _words(info: TensorInfo) -> str:
    return f"{info.name} {info.dtype}[{','.join(map(str, info.shape))}]"


def recomputed_summary(subject: Subject) -> Summary:
    """Return the summary that the rows of nodes give.

    Rows of a file of format 1.0 may be known though they are not marked so: there the recorded numbers stay where they
    are possible. A summary without categories stays without.
    """
    said, rows = subject.sidecar.summary, subject.sidecar.nodes
    old = subject.sidecar.schema_version == "1.0"
    counts = count_categories((row.op_type, row.known, row.confidence == "high") for row in rows)
    least = summary_of(counts)
    if not said.category_statistics:
        stays = old and least.covered_percent <= said.covered_percent <= 100
        covered = said.covered_percent if stays else least.covered_percent
        return least.model_copy(update={"covered_percent": covered, "category_statistics": {}})
    for name, (total, covered, exact) in counts.items() if old else ():
        recorded = said.category_statistics.get(name)
        if recorded is not None and covered <= recorded.tagged <= total:
            counts[name] = (total, recorded.tagged, exact)
    return summary_of(counts)


def summary(subject: Subject) -> list[Finding]:
    """The numbers of the summary are those that counting gives (V60)."""
    said, right = subject.sidecar.summary, recomputed_summary(subject)
    findings: list[Finding] = []
    for field in ("nodes", "exact_percent", "covered_percent"):
        one, other = getattr(said, field), getattr(right, field)
        if one != other:
            findings.append(Finding.of("V60", f"summary.{field}", f"It is {one}; the rows give {other}."))
    for name in {**right.category_statistics, **said.category_statistics}:
        one, other = (part.category_statistics.get(name) for part in (said, right))
        if one != other:
            here, there = (_numbers(row) for row in (one, other))
            findings.append(Finding.of("V60", f"summary.{name}", f"It is {here}; the rows give {there}."))
    return findings


def _numbers(row: CategoryStatistics | None) -> str:
    if row is None:
        return "not there"
    return f"{row.total} nodes, {row.tagged} tagged ({row.percentage} %), {row.exact} exact"
