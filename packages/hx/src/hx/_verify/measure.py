"""Every call's numbers beside PyTorch's: alone on PyTorch's own inputs, and in a run of the whole model.

The tensors of all calls together may be many times the model. They are fetched in batches: each batch runs both models
once and holds what crosses the borders of its calls.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import onnx_ir as ir

from hx._progress import Progress, each
from hx._tensors import own_rounding
from hx._verify.boundaries import (
    UNPAIRED,
    Array,
    CallKey,
    SizeAndPrecision,
    array_now,
    compare_ports,
    end_keys,
    pytorch_keys,
    run_alone,
    run_module,
    unpaired_modules,
    why_not_made,
    without_counterpart,
)
from hx._verify.inputs import Arrays, ModuleInputs
from hx._verify.whole import added_outputs, is_whole, whole_outputs
from hx_extractor import Difference, Hierarchy
from hx_graph import WEIGHTS_IN_FILES, drawn_values
from hx_sidecar_schema import HxError, Port, RuntimeRefusal, Sidecar, UnavailableValue
from hx_tracer import CallValues, LoadedModel

DEFAULT_BYTES = 2 * 10**9
"""Of tensors held at once, where no window is given."""
PortDifference = tuple[str, Difference]
"""An output port, and how far its array is from the one that it should be."""
EPSILON = {"DOUBLE": 2.0**-52, "FLOAT": 2.0**-23, "FLOAT16": 2.0**-10, "BFLOAT16": 2.0**-7}
"""Distance from 1 to the next number, by ONNX element type."""


@dataclass(frozen=True)
class CallNumbers:
    """What was measured of one call."""

    local: PortDifference | None = None
    """The worst output of the call alone, of the root also in the whole model; None where it could not be compared."""
    accumulated: PortDifference | None = None
    """The worst output in the whole model; None where it could not be compared."""
    reason: str = ""
    """Why something is missing."""
    borrowed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Inputs of the local run that the ONNX model gave: port name to value name."""
    epsilon: float = 0.0
    """Of the coarsest floating-point type at the call's border, in either model."""
    recomputed: Sequence[str] = ()
    """Nodes of calls outside that the local run computes from this call's inputs."""
    refused: bool = False
    """Whether ONNX Runtime does not run it alone."""


class _Place(NamedTuple):
    """Where the PyTorch run has a value: a port of a call."""

    call: CallKey
    side: str
    port: str


class Measurement:
    """A comparison in progress; PyTorch runs its model once at the start, to see how large the tensors are.

    `batches` are rows of the calls that are compared, in execution order. Both models run once for each: `boundaries` is
    what crossed the borders of its calls in PyTorch, `values` are the ONNX model's. No more than `memory_bytes` of tensors
    are held, besides what each runtime needs. `refusal` says why ONNX Runtime does not run the whole model.

    The root is compared whether or not it can be cut out: the whole model is that.
    HX420 if one call alone needs more than the `window_bytes` that are given. Then weights stay in their files, where ONNX
    Runtime's copies of them would not fit beside the tensors that are held.
    """

    def __init__(
        self,
        model: Hierarchy,
        loaded: LoadedModel,
        inputs: ModuleInputs,
        window_bytes: int | None,
        modules: str | Sequence[str] | None = None,
    ) -> None:
        self._model, self._loaded, self._inputs = model, loaded, inputs
        self._calls = model.sidecar.calls
        self._drawn = drawn_values(model.model.graph)
        self._keys = pytorch_keys(model.sidecar)
        self._borders = run_module(loaded, inputs, {*self._keys, *end_keys(self._keys)}, SizeAndPrecision.of)
        self._unpaired = unpaired_modules(self._keys, self._borders)
        """Modules of whose calls it is not known which is which: the export has more of them or fewer."""
        ran = [call for call in model.calls(modules) if self._is_made(call.row)]
        rows = [call.row for call in ran if call.status == "extractable" or (call.row == 0 and is_whole(model.sidecar))]
        self._whole = whole_outputs(model)
        given = {row: self._borders[self._keys[row]].inputs for row in rows}
        self._missing = {  # used inputs that the PyTorch module did not get as arguments
            row: [port for port in self._calls[row].inputs if not port.unused and port.name not in given[row]]
            for row in rows
        }
        self._places = self._find({port.carrier for ports in self._missing.values() for port in ports})
        self._held = {row: self._held_bytes(row) for row in rows}
        self._window_bytes, self.memory_bytes = window_bytes, window_bytes or DEFAULT_BYTES
        self._refuse_beyond_window()
        runs = batches_of([*self._held.values()], self.memory_bytes)
        self.batches = [[rows[position] for position in run] for run in runs]
        self.boundaries: Mapping[CallKey, CallValues[Array]] = {}
        self.values: Mapping[str, Array] = {}
        self.refusal = ""

    def measure_all(self, progress: Progress) -> list[CallNumbers]:
        """Compare all calls that can be; there are no numbers of the others."""
        numbers = [CallNumbers() for _ in self._calls]
        steps = [(rows, row) for rows in self.batches for row in rows]
        for rows, row in each(steps, "Comparing", progress):
            if row == rows[0]:
                self.fetch(rows)
            numbers[row] = self._measure(row, rows)
        return numbers

    def fetch(self, rows: Sequence[int]) -> None:
        """Run both models and hold what the calls of one batch got and gave; what was held before is let go."""
        self.boundaries, self.values = {}, {}
        carriers = [port.carrier for row in rows for port in self._missing[row]]
        wanted = {self._keys[row] for row in rows} | {self._places[c].call for c in carriers if c in self._places}
        self.boundaries = run_module(self._loaded, self._inputs, wanted, array_now)
        borrowed = [carrier for carrier in carriers if carrier not in self._places]
        made = [value for row in rows for value in self._carriers(row).values()]
        names = [name for name in (*borrowed, *made) if self._model.holds(name)]
        if names and not self.refusal:
            try:
                options = self._session_options(self._model.model, rows)
                self.values = self._model.run(self._inputs.arrays, names, **options)
            except RuntimeRefusal as error:  # calls may run alone
                self.refusal = error.message

    def why_not_made(self, row: int) -> str:
        """Say why the PyTorch run lacks an extractable call; nothing where it does not."""
        call, (fqn, _) = self._calls[row], self._keys[row]
        if call.status != "extractable" or self._is_made(row):
            return ""
        if fqn in self._unpaired and not call.in_body:
            return UNPAIRED
        return why_not_made(call)

    def _is_made(self, row: int) -> bool:
        """Say whether the PyTorch run makes a call, and it is known which one it is."""
        return self._keys[row] in self._borders and self._keys[row][0] not in self._unpaired

    def _refuse_beyond_window(self) -> None:
        row, most = max(self._held.items(), key=lambda item: item[1], default=(0, 0))
        if self._window_bytes is not None and most > self._window_bytes:
            raise HxError(
                f"The tensors that are held to compare {self._model.sidecar.tag(self._calls[row])!r} take {most} bytes, more than {self._window_bytes}.",
                code="HX420",
                hint=f"Give at least {most}, or smaller inputs.",
                argument="memory_bytes",
            )

    def _session_options(self, model: ir.Model, rows: Sequence[int]) -> Mapping[str, Any]:
        """Return how a session treats weights while the tensors of a batch are held: it may copy them where there is room."""
        if self._window_bytes is None:
            return {}
        weights = (value.const_value for value in model.graph.initializers.values())
        needed = sum(weight.nbytes for weight in weights if weight is not None) + sum(self._held[row] for row in rows)
        return {} if needed <= self._window_bytes else WEIGHTS_IN_FILES

    def _measure(self, row: int, rows: Sequence[int]) -> CallNumbers:
        """Compare a call of the batch of `rows`, which is held."""
        call, given = self._calls[row], self.boundaries[self._keys[row]]
        added = added_outputs(self._model, given.outputs) if row == 0 else set[str]()
        alone = self._measure_alone(row, rows, added) if call.status == "extractable" else CallNumbers()
        carriers = {name: value for name, value in self._carriers(row).items() if name not in added}
        known = self.values.keys() - self._drawn
        actual = {name: self.values[value] for name, value in carriers.items() if value in known}
        accumulated = compare_ports(given.outputs, actual)
        reasons = [alone.reason] if alone.reason else []
        if added:
            reasons.append(f"The PyTorch module does not return {sorted(added)}: they are copies of what calls return.")
        if not self._drawn.isdisjoint(carriers.values()):
            reasons.append("In the whole model it derives from random numbers.")
        elif not self.refusal and (gone := [name for name in carriers if name not in actual]):
            reasons.append(f"The whole ONNX model has no value for {gone}.")
        local, epsilon = alone.local, alone.epsilon
        if row == 0 and (whole := _worst(accumulated | without_counterpart(call, given.outputs, added))):
            local = max(whole, local or whole, key=lambda found: found[1].relative_error)
            epsilon = epsilon or self._epsilon(row, (*call.inputs, *call.outputs))
        reason = " ".join(reasons)
        return replace(alone, local=local, accumulated=_worst(accumulated), reason=reason, epsilon=epsilon)

    def _measure_alone(self, row: int, rows: Sequence[int], added: Collection[str]) -> CallNumbers:
        """Cut a call out and compare it; `added` are outputs that the module does not return."""
        borrowed: dict[str, str] = {}
        epsilon, recomputed = 0.0, list[str]()
        given = self.boundaries[self._keys[row]]
        try:
            extraction = self._model.extract(row)
            epsilon = self._epsilon(row, (*extraction.inputs, *extraction.outputs))
            recomputed = extraction.recomputed
            options = self._session_options(extraction.model, rows)
            local = run_alone(extraction, given, lambda ports: self._borrow(ports, borrowed), added, options)
        except HxError as error:  # one call that cannot be compared must not cost the others
            refused = isinstance(error, RuntimeRefusal)
            return CallNumbers(None, None, error.message, borrowed, epsilon, recomputed, refused)
        lost = [port.name for port in extraction.outputs if port.name not in local and port.name not in added]
        reason = f"The PyTorch module gave no {lost}." if lost else ""
        return CallNumbers(_worst(local), None, reason, borrowed, epsilon, recomputed)

    def _epsilon(self, row: int, ports: Iterable[Port]) -> float:
        """Return that of the coarsest floating-point type at a call's border in PyTorch, and among ports of the graph."""
        of_torch = [one.epsilon for one in _ports(self._borders[self._keys[row]])]
        return max([*of_torch, *(EPSILON.get(port.dtype, 0.0) for port in ports)], default=0.0)

    def _carriers(self, row: int) -> Mapping[str, str]:
        """Return the values that are a call's outputs in the whole model, by port."""
        if row == 0:
            return self._whole
        return {port.name: port.carrier for port in self._calls[row].outputs if not port.unused}

    def _borrow(self, ports: Sequence[Port], borrowed: dict[str, str]) -> Arrays:
        """Return inputs that are no arguments: another port of the PyTorch run has them, or the ONNX run."""
        given: Arrays = {}
        for port in ports:
            place = self._places.get(port.carrier)
            if place is not None:
                given[port.name] = getattr(self.boundaries[place.call], place.side)[place.port]
            elif port.carrier in self.values:
                given[port.name] = self.values[port.carrier]
                borrowed[port.name] = port.carrier
            else:
                raise UnavailableValue(
                    f"The value of its input {port.name!r} is not known: no module got or gave it, and the ONNX "
                    "model does not hold it.",
                    hint="Look at the calls around it.",
                )
        return given

    def _find(self, carriers: Collection[str]) -> dict[str, _Place]:
        """Find values among the ports of all calls; the first place counts."""
        places: dict[str, _Place] = {}
        for row, (key, call) in enumerate(zip(self._keys, self._calls, strict=True)):
            border = self._borders[key] if self._is_made(row) else CallValues[SizeAndPrecision]()
            for side in ("inputs", "outputs"):
                for port in getattr(call, side):
                    if port.carrier in carriers and port.name in getattr(border, side):
                        places.setdefault(port.carrier, _Place(key, side, port.name))
        return places

    def _held_bytes(self, row: int) -> int:
        """Inputs once; outputs three times: PyTorch's, the whole ONNX model's, and those of the call alone."""
        own = self._borders[self._keys[row]]
        total = _bytes(own.inputs.values()) + 3 * _bytes(own.outputs.values())
        for port in self._missing[row]:
            place = self._places.get(port.carrier)
            if place is not None:
                total += _bytes(_ports(self._borders[place.call]))
            else:  # no run has shown its size yet; what a module reaches past its arguments is mostly a mask
                total += max((one.size_bytes for one in _ports(own)), default=0)
        return total


def own_roundings(sidecar: Sidecar, loaded: LoadedModel, inputs: ModuleInputs, rows: Sequence[int]) -> dict[int, float]:
    """Return how far PyTorch's own outputs of some compared calls are from double precision.

    The rows are ascending; PyTorch runs as often as they are nested.
    """
    all_keys = pytorch_keys(sidecar)
    found: dict[CallKey, float] = {}
    left = list(rows)
    while left:
        keys: set[CallKey] = set()
        end = 0
        for row in left:
            if row >= end:
                keys.add(all_keys[row])
                end = sidecar.subtree_end[row]
        found |= own_rounding(loaded.module, inputs.args, inputs.kwargs, keys)
        left = [row for row in left if all_keys[row] not in keys]
    return {row: found.get(all_keys[row], 0.0) for row in rows}


def batches_of(sizes_bytes: Sequence[int], limit_bytes: int) -> list[range]:
    """Cut a sequence into runs of positions whose sums stay within a limit; an item beyond it is a run of its own."""
    starts: list[int] = []
    held = 0
    for position, size in enumerate(sizes_bytes):
        if not starts or held + size > limit_bytes:
            starts.append(position)
            held = 0
        held += size
    return [range(*ends) for ends in pairwise([*starts, len(sizes_bytes)])]


def _ports(border: CallValues[SizeAndPrecision]) -> list[SizeAndPrecision]:
    return [*border.inputs.values(), *border.outputs.values()]


def _bytes(ports: Iterable[SizeAndPrecision]) -> int:
    return sum(one.size_bytes for one in ports)


def _worst(found: Mapping[str, Difference]) -> PortDifference | None:
    """Return the output with the largest relative error; the first of equals."""
    return max(found.items(), key=lambda item: item[1].relative_error, default=None)
