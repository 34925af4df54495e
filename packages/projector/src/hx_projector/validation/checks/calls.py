"""Whether the calls form one tree in execution order, and their statuses fit what else is said of them."""

from __future__ import annotations

from hx_projector.validation.findings import Finding
from hx_projector.validation.subject import Subject, module_name, named
from hx_sidecar_schema import CONTAINERS, ModuleCall

_WITHOUT_FORWARD = frozenset(f"torch.nn.modules.container.{name}" for name in ("ModuleList", "ModuleDict"))
"""Classes that have no `forward` to call."""


def call_tree(subject: Subject) -> list[Finding]:
    """One root, calls in pre-order, rows of modules that were never called at the end (V20, V21)."""
    calls, findings = subject.sidecar.calls, list[Finding]()
    if not calls:
        return [Finding.of("V20", "calls", "There is no call at all, so not the root's.")]
    if calls[0].parent is not None or calls[0].module != 0:
        findings.append(
            Finding.of("V20", subject.call_name(0), "The first row is not the call of the first module.")
        )
    stack: list[int] = []
    """The calls that are running."""
    for row, call in enumerate(calls):
        name = subject.call_name(row)
        if call.parent is None:
            if row and call.status != "not_called":
                findings.append(
                    Finding.of("V20", name, "It has no parent, and is neither the root's nor `not_called`.")
                )
            stack = [row]
            continue
        if call.parent >= row:
            findings.append(
                Finding.of("V21", name, f"Its parent {subject.call_name(call.parent)!r} stands behind it.")
            )
            continue
        while stack and stack[-1] != call.parent:
            stack.pop()
        if not stack:
            findings.append(
                Finding.of(
                    "V21",
                    name,
                    f"It stands outside the subtree of its parent {subject.call_name(call.parent)!r}.",
                )
            )
            stack = [call.parent]
        stack.append(row)
    return findings


def call_indices(subject: Subject) -> list[Finding]:
    """The calls of a module count up from 0; of a part of a model they go up (V22)."""
    last: dict[int, int] = {}
    findings: list[Finding] = []
    for row, call in enumerate(subject.sidecar.calls):
        before = last.get(call.module, -1)
        right = call.index > before if subject.is_part else call.index == before + 1
        if not right:
            asked = f"{before + 1} or more" if subject.is_part else str(before + 1)
            findings.append(
                Finding.of("V22", subject.call_name(row), f"Its index is {call.index}; {asked} comes next.")
            )
        last[call.module] = max(before, call.index)
    return findings


def called_modules(subject: Subject) -> list[Finding]:
    """Every module that can be called has a call, or a row that says that it was not (V25)."""
    if subject.is_part:
        return []
    called = {call.module for call in subject.sidecar.calls}
    return [
        Finding.of(
            "V25", module_name(module), "No row of `calls` is of it, not even one that is `not_called`."
        )
        for row, module in enumerate(subject.sidecar.modules)
        if row not in called and module.class_name not in CONTAINERS
    ]


def callers(subject: Subject) -> list[Finding]:
    """What called and what was called has a `forward` and ran (V23)."""
    sidecar, findings = subject.sidecar, list[Finding]()
    for row, call in enumerate(sidecar.calls):
        name = subject.call_name(row)
        if sidecar.modules[call.module].class_name in _WITHOUT_FORWARD:
            findings.append(Finding.of("V23", name, "A list or dict of modules has no `forward` to call."))
        if call.parent is not None and sidecar.calls[call.parent].status == "not_called":
            parent = subject.call_name(call.parent)
            findings.append(Finding.of("V23", name, f"Its parent {parent!r} is recorded as not called."))
    return findings


def statuses(subject: Subject) -> list[Finding]:
    """A status agrees with the reason, the ports and the nodes of its call (V24)."""
    owners: dict[int, str] = {}
    for node in subject.sidecar.nodes:
        owners.setdefault(node.owner, node.output)
    findings: list[Finding] = []
    for row, call in enumerate(subject.sidecar.calls):
        problem = _status(call, owners.get(row))
        if problem:
            findings.append(Finding.of("V24", subject.call_name(row), problem))
    return findings


def _status(call: ModuleCall, owns: str | None) -> str:
    if call.status != "extractable" and not call.reason:
        return f"It is `{call.status}`, and no reason is given."
    if call.status == "extractable" and call.reason:
        return f"It is `extractable`, and still has a reason why not: {call.reason!r}"
    if call.status == "not_called":
        if owns is not None:
            return f"It is `not_called`, and owns the node {owns!r}."
        if call.inputs or call.outputs or call.parent is not None:
            return "It is `not_called`, and has ports or a parent."
    if call.status == "extractable":
        lost = [port.name for port in call.outputs if not (port.value or port.initializer or port.unused)]
        if lost:
            return f"It is `extractable`, and nothing carries its output {named(lost)}."
        if all(port.unused for port in call.outputs):
            return "It is `extractable`, and has no output in the graph."
    return ""
