"""Which forms models have: their parts are cut out, compared and let go, one model after the other."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from hx_extractor import Hierarchy
from hx_graph import all_nodes, drawing_nodes, infer_types, nodes_in
from hx_projector import call_costs, form_digest, model_cost, operator_configuration
from hx_sidecar_schema import HxError
from hx_surgery.suite.parts import Key, cut, keys_of
from hx_surgery.suite.records import By, SuiteModel

Progress = Callable[[str, int, int], None]
NAME_LENGTH = 80


@dataclass(frozen=True)
class SuiteSource:
    """A model that a suite is made of."""

    name: str
    path: str
    open: Callable[[], Hierarchy]
    """Reads it, each time that it is needed: one model is in memory at once."""

    def read(self) -> Hierarchy:
        """Return the model, with the types that its file leaves out.

        Raises:
            HxError: As `open`.
        """
        hierarchy = self.open()
        infer_types(hierarchy.model)
        return hierarchy


@dataclass(frozen=True)
class Example:
    """A part of a model that has a form."""

    source: int
    key: Key
    name: str


@dataclass
class Form:
    """What some parts of models have in common."""

    digest: str
    class_name: str
    nodes: int
    operators: frozenset[str]
    macs: int | None
    """Of one part."""
    reason: str = ""
    """Why there is no case of it."""
    total_macs: int = 0
    models: Counter[str] = field(default_factory=Counter[str])
    examples: list[Example] = field(default_factory=list[Example])
    """The first of each model."""


@dataclass
class Survey:
    """The forms of some models by their digests, in the order in which they were met."""

    forms: dict[str, Form]
    models: list[SuiteModel]
    operators: set[str]
    """All that the models ask of kernels, in parts or not."""
    errors: list[HxError]
    """Of models that cannot be read."""


def survey(sources: Sequence[SuiteSource], by: By, progress: Progress) -> Survey:
    """Find the forms of all parts of models; a model that cannot be read has the reason.

    Raises:
        HxError: The first of the models' where none can be read.
    """
    found = Survey({}, [], set(), [])
    for number, source in enumerate(sources):
        progress(f"Looking at {source.name}", number, len(sources))
        try:
            hierarchy = source.read()
        except HxError as error:  # the other models are as good as without it
            reason = error.message.replace(source.path, source.name)  # a suite does not say where it was made
            found.models.append(SuiteModel(name=source.name, calls=0, forms=0, reason=reason))
            found.errors.append(error)
        else:
            found.models.append(_add(found, hierarchy, by, number, source.name))
    if found.errors and len(found.errors) == len(sources):
        raise found.errors[0]
    return found


def _add(found: Survey, hierarchy: Hierarchy, by: By, number: int, name: str) -> SuiteModel:
    opsets = hierarchy.model.graph.opset_imports
    found.operators |= _operators(hierarchy.model)
    macs, total = _macs(hierarchy)
    mine, ends = Counter[str](), dict[str, int]()
    for key, class_name, call in keys_of(hierarchy, by):
        model = cut(hierarchy, key).model
        digest = form_digest(model)
        if digest not in found.forms:
            nodes = [node for _, node in all_nodes(model)]
            drawn = sorted({node.op_type for node in drawing_nodes(nodes)})
            found.forms[digest] = Form(
                digest,
                class_name,
                sum(1 for _ in nodes_in(model.graph)),
                frozenset(operator_configuration(node, opsets) for _, node in nodes_in(model.graph) if _computes(node)),
                macs.get(key),
                f"It draws random numbers: {', '.join(drawn)}." if drawn else "",
            )
        form = found.forms[digest]
        if digest not in mine:
            form.examples.append(Example(number, key, f"{name}:{call}"))
        mine[digest] += 1
        form.models[name] += 1
        if isinstance(key, str) or key >= ends.get(digest, 0):  # else it is inside a call of its own form
            form.total_macs += macs.get(key) or 0
            ends[digest] = hierarchy.sidecar.subtree_end[key] if isinstance(key, int) else 0
    calls = mine.total() if by != "block" else len(hierarchy.calls(status="extractable"))
    return SuiteModel(name=name, calls=calls, forms=len(mine), macs=total)


def _operators(model: ir.Model) -> set[str]:
    opsets = model.graph.opset_imports
    return {operator_configuration(node, opsets) for _, node in nodes_in(model.graph) if _computes(node)}


def _computes(node: ir.Node) -> bool:
    return node.op_type != "Constant" or bool(node.domain)


def _macs(hierarchy: Hierarchy) -> tuple[dict[Key, int], int | None]:
    """Return multiply-accumulates by row of a call and by first output of a node, and of the whole model."""
    recorded = {info.name: info.example.shape for info in hierarchy.sidecar.model.inputs if info.example is not None}
    try:
        cost = model_cost(hierarchy.model, {}, recorded)
    except HxError:  # what counts it is not installed: a suite is whole without
        return {}, None
    calls = call_costs(hierarchy.sidecar, cost)
    nodes: dict[Key, int] = {row.output: row.arithmetic.macs for row in cost.nodes if not row.graph}
    return nodes | {row: call.total.macs for row, call in enumerate(calls)}, calls[0].total.macs


def names_of(forms: Sequence[Form], by: By) -> dict[str, str]:
    """Return the folder of each form's case, by its digest: its class and as much of its digest as tells them apart."""

    def named(length: int) -> Iterator[tuple[str, str]]:
        for form in forms:
            class_name = re.sub(r"\W+", "_", form.class_name, flags=re.ASCII)[:NAME_LENGTH]
            yield form.digest, f"{by}/test_{class_name}_{form.digest[:length]}"

    length = 8
    while len({name.lower() for _, name in named(length)}) < len(forms):
        length += 8
    return dict(named(length))
