"""A sidecar for what a tool made of an exported model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from hx_graph import CallTree, nodes_below, output_of
from hx_projector.attribution.assemble import assemble
from hx_projector.attribution.owners import Owned, in_functions
from hx_projector.relinking.carry import Descent, descend
from hx_projector.relinking.correspondence import FixedPoints, known_part
from hx_projector.relinking.dataflow import Dataflow
from hx_sidecar_schema import (
    Example,
    HxError,
    Initializer,
    ModuleCall,
    ModuleContext,
    Node,
    Port,
    RecoveredNode,
    Sidecar,
    collector_paused,
)

LINEAGE = "lineage"


def relink(transformed: ir.Model, original: ir.Model, sidecar: Sidecar, *, file: str) -> Sidecar:
    """Attribute a model that was made of another: optimised, fused, quantised, converted or simplified.

    Args:
        transformed: With types of its values, where calls shall be cut out of it; not changed.
        original: What it was made of; not changed.
        sidecar: Of the original.
        file: Name of the transformed ONNX file.

    Returns:
        The sidecar of the transformed model. Every node names the nodes of the original that it stands for
        (`originals`), and where these belong to several calls, the calls (`covers`): its owner is what they have in
        common. Calls whose inputs or outputs are no more in the graph are `fused`.

    Raises:
        HxError: HX211 if the one was not made of the other.
    """
    with collector_paused():
        new, old = Dataflow(transformed), Dataflow(original)
        _check(new, old, sidecar, file)
        points = FixedPoints(new, old)
        found = descend(new, points, sidecar)
        owned = list(_owned(transformed, found, old, sidecar))
        context = _context(new, points, found, sidecar)
        owned += in_functions(transformed, owned, CallTree(context.calls))
        return assemble(transformed, context, owned, file=file, merger="The transformation")


def _check(new: Dataflow, old: Dataflow, sidecar: Sidecar, file: str) -> None:
    reason = ""
    if len(new.inputs) > len(old.inputs) or len(new.outputs) != len(old.outputs):
        reason = (
            f"it has the inputs {new.inputs} and outputs {new.outputs}, not {old.inputs} and {old.outputs}"
        )
    elif old.maker and new.maker and new.inputs != old.inputs and not new.maker.keys() & old.maker.keys():
        reason = "no value has the same name"
    if reason:
        raise HxError(
            f"Model {file!r} was not made of {sidecar.model.file!r}: {reason}.",
            code="HX211",
            hint="Name the export that it was made of with --from.",
        )


def _owned(model: ir.Model, found: Mapping[str, Descent], old: Dataflow, sidecar: Sidecar) -> Iterator[Owned]:
    """Yield the nodes of the main graph and its bodies.

    Nodes of bodies go by their names: those that are in a body still, and those that were moved out of one because its
    condition was known.
    """
    bodies: dict[tuple[str, str], list[Node]] = {}
    for row in sidecar.nodes:
        if row.graph:
            bodies.setdefault((row.output, row.op_type), []).append(row)
    for node in model.graph:
        key = output_of(node)
        owner, confidence, originals, covers, known = found[key]
        moved = bodies.get((key, node.op_type), [])
        if len(moved) == 1 and not old.holds(key):
            owner, confidence, originals, covers = moved[0].owner, moved[0].confidence, [], []
            known = moved[0].known
        yield Owned("", key, node, owner, LINEAGE, confidence, not known, originals, covers)
        for path, inner in nodes_below(node, "") if node.attributes else ():
            output = output_of(inner)
            same = bodies.get((output, inner.op_type), [])
            if len(same) == 1:
                row = same[0]
                yield Owned(path, output, inner, row.owner, LINEAGE, row.confidence, not row.known)
            else:
                level = "medium" if known else "low"
                yield Owned(path, output, inner, owner, LINEAGE, level, fallback=not known)


def _context(
    new: Dataflow, points: FixedPoints, found: Mapping[str, Descent], sidecar: Sidecar
) -> ModuleContext:
    """Return the original's modules and calls, with the ports that they have in the transformed graph."""
    where = {value: name for name, value in points.same().items()}
    usable = [_is_usable(row, new, points.old) for row in sidecar.recovered]
    made = {
        out for row, ok in zip(sidecar.recovered, usable, strict=True) for out in row.outputs if ok and out
    }

    def placed(port: Port) -> Port:
        if port.value is None or port.value in made:
            kept = port.initializer is None or port.initializer in new.initializers
            return port if kept else port.model_copy(update={"initializer": None})
        name = where.get(port.value)
        value = new.value(name) if name is not None else None
        if value is None or _reshaped(value, points.old.value(port.value)):
            return port.model_copy(update={"value": None})
        return port.model_copy(
            update={"value": name, "dtype": value.dtype.name if value.dtype is not None else port.dtype}
        )

    calls: list[ModuleCall] = []
    for call in sidecar.calls:
        if call.status == "not_called":
            continue
        inputs = [placed(port) for port in call.inputs if not port.implicit]
        outputs = [placed(port) for port in call.outputs]
        kept = [row for row in call.recovered if usable[row]]
        calls.append(call.model_copy(update={"inputs": inputs, "outputs": outputs, "recovered": kept}))
    return ModuleContext(
        generator=sidecar.generator,
        modules=sidecar.modules,
        calls=calls,
        origins={key: row.covers or [row.owner] for key, row in found.items()},
        recovered=sidecar.recovered,
        sizes={name: size for name, size in sidecar.sizes.items() if name in new.maker},
        initializers=list(_initializers(new, sidecar)),
        examples=_examples(new, sidecar),
    )


def _reshaped(now: ir.Value, before: ir.Value | None) -> bool:
    """Say whether a value goes by its old name in another shape, as where Reshape nodes were moved past it."""
    if before is None or now.shape is None or before.shape is None:
        return False
    if len(now.shape) != len(before.shape):
        return True
    dims = zip(now.shape, before.shape, strict=True)
    return any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in dims)


def _is_usable(row: RecoveredNode, new: Dataflow, old: Dataflow) -> bool:
    """Say whether a recovered node still computes in the types that it was recorded with."""
    for name in row.inputs:
        now, before = new.value(name), old.value(name)
        if before is not None and (now is None or now.dtype != before.dtype):
            return False
    made = ((new.value(name), dtype) for name, dtype in zip(row.outputs, row.dtypes, strict=True))
    return all(now is None or now.dtype is None or now.dtype.name == dtype for now, dtype in made)


def _initializers(new: Dataflow, sidecar: Sidecar) -> Iterator[Initializer]:
    """Yield the weights, with the parameters of those whose names are one of the original's with something before or behind."""
    known = {row.name: row for row in sidecar.initializers}
    for name in new.initializers:
        if name in known:
            yield known[name]
        elif (base := known_part(name, known)) is not None:
            yield Initializer(name=name, parameter=known[base].parameter, transform="derived")
        else:
            yield Initializer(name=name)


def _examples(new: Dataflow, sidecar: Sidecar) -> dict[str, Example]:
    known = {info.name: info.example for info in sidecar.model.inputs if info.example is not None}
    return {name: known[name] for name in new.inputs if name in known}
