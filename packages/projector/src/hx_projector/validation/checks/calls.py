"""Whether the calls form one tree in execution order, and their statuses fit what else is said of them."""

from collections.abc import Iterator

from hx_projector.validation.findings import Problem
from hx_projector.validation.pair import ModelAndSidecar, listed, module_name
from hx_sidecar_schema import CONTAINERS, ModuleCall

_WITHOUT_FORWARD = frozenset(f"torch.nn.modules.container.{name}" for name in ("ModuleList", "ModuleDict"))
"""Classes that have no `forward` to call."""


def call_tree(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that there is one root, and that calls stand in pre-order, those of modules not called last (V20, V21)."""
    calls = pair.sidecar.calls
    if not calls:
        yield "V20", "calls", "There is no call at all, so not the root's."
        return
    if calls[0].parent is not None or calls[0].module != 0:
        yield "V20", pair.call_name(0), "The first row is not the call of the first module."
    running: list[int] = []
    for row, call in enumerate(calls):
        name = pair.call_name(row)
        if call.parent is None:
            if row and call.status != "not_called":
                yield "V20", name, "It has no parent, and is neither the root's nor `not_called`."
            running = [row]
            continue
        parent = pair.call_name(call.parent)
        if call.parent >= row:
            yield "V21", name, f"Its parent {parent!r} stands behind it."
            continue
        while running and running[-1] != call.parent:
            running.pop()
        if not running:
            yield "V21", name, f"It stands outside the subtree of its parent {parent!r}."
            running = [call.parent]
        running.append(row)


def call_indices(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that the calls of a module count up from 0; of a part of a model, that they go up (V22)."""
    last: dict[int, int] = {}
    for row, call in enumerate(pair.sidecar.calls):
        before = last.get(call.module, -1)
        if call.index <= before or (call.index > before + 1 and not pair.is_part):
            expected = f"{before + 1} or more" if pair.is_part else str(before + 1)
            yield "V22", pair.call_name(row), f"Its index is {call.index}; {expected} comes next."
        last[call.module] = max(before, call.index)


def called_modules(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that every module that can be called has a call, or a row that says that it was not (V25)."""
    if pair.is_part:
        return
    called = {call.module for call in pair.sidecar.calls}
    for row, module in enumerate(pair.sidecar.modules):
        if row not in called and module.class_name not in CONTAINERS:
            yield "V25", module_name(module), "No row of `calls` is of it, not even one that is `not_called`."


def callers(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that what was called has a `forward`, and that what called it ran (V23)."""
    sidecar = pair.sidecar
    for row, call in enumerate(sidecar.calls):
        name = pair.call_name(row)
        if sidecar.modules[call.module].class_name in _WITHOUT_FORWARD:
            yield "V23", name, "A list or dict of modules has no `forward` to call."
        if call.parent is not None and sidecar.calls[call.parent].status == "not_called":
            parent = pair.call_name(call.parent)
            yield "V23", name, f"Its parent {parent!r} is recorded as not called."


def statuses(pair: ModelAndSidecar) -> Iterator[Problem]:
    """Check that a status agrees with the reason, the ports and the nodes of its call (V24)."""
    owned: dict[int, str] = {}
    for node in pair.sidecar.nodes:
        owned.setdefault(node.owner, node.output)
    for row, call in enumerate(pair.sidecar.calls):
        problem = _status_problem(call, owned.get(row))
        if problem:
            yield "V24", pair.call_name(row), problem


def _status_problem(call: ModuleCall, owns: str | None) -> str:
    if call.status != "extractable" and not call.reason:
        return f"It is `{call.status}`, and no reason is given."
    if call.status == "extractable" and call.reason:
        return f"It is `extractable`, and still has a reason why not: {call.reason!r}"
    if call.status == "not_called":
        if owns is not None:
            return f"It is `not_called`, and owns the node {owns!r}."
        if call.inputs or call.outputs or call.parent is not None:
            return "It is `not_called`, and has ports or a parent."
    carriers = {port.carrier for port in call.inputs}
    lost = any(port.is_lost for port in (*call.inputs, *call.outputs))
    other = any(port.carrier not in carriers for port in call.outputs if not port.unused)
    if call.status == "identity" and other and not lost:
        return "It is `identity`, and one of its outputs is none of its inputs."
    if call.status == "extractable":
        lost = [port.name for port in call.outputs if port.is_lost]
        if lost:
            return f"It is `extractable`, and nothing carries its output {listed(lost)}."
        if all(port.unused for port in call.outputs):
            return "It is `extractable`, and has no output in the graph."
    return ""
