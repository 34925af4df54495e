"""Cutting a model into stages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import onnx_ir as ir

from hx_extractor import Hierarchy
from hx_graph import infer_types, nodes_below
from hx_sidecar_schema import HxError, Sidecar
from hx_surgery.stages.balance import best_cut
from hx_surgery.stages.part import Part, part_model, part_sidecar
from hx_surgery.stages.timeline import Timeline, crossing, grouped, timeline, torn

_CALLS = 4096
"""More calls than a few cuts tear: a byte over a border counts for more than all of them."""


@dataclass(frozen=True)
class StageModel:
    """One of the models that a model is cut into."""

    name: str
    steps: range
    """Of the timeline: when its nodes run."""
    calls: range
    """Rows of the calls that begin in it."""
    model: ir.Model
    sidecar: Sidecar


class Plan:
    """A model that can be cut into stages.

    Args:
        hierarchy: The model; not changed.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        """Find where it can be cut."""
        self.hierarchy = hierarchy
        self.sidecar = hierarchy.sidecar
        self.model = hierarchy.model
        self.timeline: Timeline = timeline(self.model, self.sidecar)
        typed = self.model.clone()
        infer_types(typed)
        self.typed = {
            str(value.name): value
            for value in (
                *typed.graph.inputs,
                *typed.graph.initializers.values(),
                *(out for node in typed.graph for out in node.outputs if out.name),
            )
        }
        self.weights = [_weights_of(node, self.model.graph) for node in self.timeline.nodes]
        """Of each node, the initializers that it reads by name, and those of its bodies, with their bytes."""

    def places_at(self, rows: Sequence[int]) -> list[int]:
        """Return the places at which stages begin with some calls.

        Raises:
            HxError: HX416 if one cannot begin there, or two begin at one place.
        """
        found: dict[int, int] = {}
        for row in rows:
            place = self.timeline.place_of(row)
            if place in found:
                first, second = (self.sidecar.tag(self.sidecar.calls[each]) for each in (found[place], row))
                message = f"Calls {first!r} and {second!r} begin at one place: nothing runs between."
                raise HxError(message, code="HX416", hint="Leave one of them out.", argument="at")
            found[place] = row
        return sorted(found)

    def places_for(self, stages: int, loads: Sequence[int] | None, size_bytes: Mapping[str, int | None]) -> list[int]:
        """Return the places at which stages begin that are as even as they can be.

        Args:
            stages: How many there shall be.
            loads: Of each node; None for the bytes of its weights, each once in a stage.
            size_bytes: Of values by name, for what crosses.

        Raises:
            HxError: HX416 if there are fewer places than stages need.
        """
        steps = self.timeline.taken
        if stages > len(steps):
            found = f"{len(steps)} step{'' if len(steps) == 1 else 's'}"
            message = f"{self.hierarchy.name!r} cannot be cut into {stages} stages: its calls run in {found}."
            if len(steps) < 2:
                raise HxError(message, code="HX416", hint="Take a model of more calls; `hx tree` shows them.")
            raise HxError(message, code="HX416", hint=f"Ask for at most {len(steps)}.", argument="into")
        shared: list[dict[str, int]] = []
        if loads is None:
            by_step: dict[int, dict[str, int]] = {step: {} for step in steps}
            for step, weights in zip(self.timeline.steps, self.weights, strict=True):
                by_step[step] |= weights
            shared = list(by_step.values())
        sums = grouped(self.timeline, loads if loads is not None else [0] * len(self.timeline.nodes))
        over = zip(crossing(self.timeline, size_bytes), torn(self.timeline), strict=True)
        cuts = best_cut(sums, [size * _CALLS + calls for size, calls in over], stages, shared)
        return [steps[cut] for cut in cuts]

    def cut(self, places: Sequence[int], stem: str) -> list[StageModel]:
        """Return the stages that begin at some places.

        Raises:
            HxError: HX416 if the type of a value that goes over a border is not known.
        """
        ends = 2 * len(self.sidecar.calls)
        ranges = [range(*pair) for pair in pairwise([self.timeline.taken[0], *places, ends])]
        begins = pairwise([0, *map(self.timeline.begins, places), len(self.sidecar.calls)])
        found: list[StageModel] = []
        told = set[str]()
        for number, (steps, calls, part) in enumerate(zip(ranges, begins, self._parts(ranges), strict=True)):
            name = f"stage_{number}"
            model = part_model(self.model, part, self.typed)
            for weight, value in model.graph.initializers.items():
                if weight in told:  # what an exporter says of a weight is as large as a small weight: once is enough
                    value.metadata_props.clear()
                told.add(weight)
            here = range(*calls)
            sidecar = part_sidecar(model, self.sidecar, here, file=f"{stem}_{name}.onnx", name=name)
            found.append(StageModel(name, steps, here, model, sidecar))
        return found

    def _parts(self, ranges: Sequence[range]) -> list[Part]:
        line, graph = self.timeline, self.model.graph
        starts = [steps.start for steps in ranges]
        stages = [bisect_right(starts, step) - 1 for step in line.steps]
        made = {
            out.name: stage for node, stage in zip(line.nodes, stages, strict=True) for out in node.outputs if out.name
        }
        given = [str(value.name) for value in graph.inputs if not value.is_initializer()]
        read: list[dict[str, None]] = [{} for _ in ranges]
        for names, stage in zip(line.reads, stages, strict=True):
            read[stage].update(dict.fromkeys(names))
        outputs = [str(value.name) for value in graph.outputs]
        taken = [[name for name in names if name in made and made[name] != stage] for stage, names in enumerate(read)]
        crossing = dict.fromkeys(name for names in taken for name in names)
        for name in crossing:
            if self.typed[name].type is None:
                message = f"The model cannot be cut where value {name!r} crosses: its type is not known."
                raise HxError(
                    message,
                    code="HX416",
                    hint="Cut at another call, or give the model types with ONNX's shape inference.",
                )
        everywhere = {name for names in read for name in names}
        parts: list[Part] = []
        for stage, names in enumerate(read):
            first = stage == 0  # what no node makes or reads stays with the first
            inputs = [
                name for name in given if name in names or (first and (name in outputs or name not in everywhere))
            ]
            own = [name for name in outputs if made.get(name, 0) == stage]
            sent = [name for name in crossing if made[name] == stage and name not in own]
            here = frozenset(index for index, each in enumerate(stages) if each == stage)
            parts.append(Part(here, [*inputs, *taken[stage]], [*own, *sent]))
        return parts


def _weights_of(node: ir.Node, graph: ir.Graph) -> dict[str, int]:
    """Return the weights that a node and its bodies read, by name, with their bytes."""
    found: dict[str, int] = {}
    for each in (node, *(inner for _, inner in nodes_below(node))):
        for value in each.inputs:
            if value is not None and value.is_initializer() and value.const_value is not None:
                own = value.graph is graph
                found[str(value.name) if own else f"{id(value)}"] = value.const_value.nbytes
    return found
