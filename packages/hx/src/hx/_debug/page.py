"""`report.md` of a session: what a maintainer asks first stands first."""

from collections.abc import Iterable, Sequence

from hx.records.debug import AttemptEntry, DebugReport
from hx.text import count, percent, plural, size
from hx_sidecar_schema import Module, depths, simple_name

TREE = 60
"""Modules that are listed."""
TRACEBACK = 30
"""Lines of a traceback that are shown, the last ones; all are in session.json."""

FILES = {
    "model.onnx": "the export of hx",
    "model.onnx.data": "its weights",
    "model_hierarchy.json": "its sidecar: `hx tree model.onnx` works here",
    "plain.onnx": "what `torch.onnx.export` alone makes, in the same settings",
    "plain.onnx.data": "its weights",
    "comparison.json": "`hx compare plain.onnx model.onnx --json`, made before the weights were taken out",
    "context.json": "what was seen during the export",
    "modules.json": "the module tree of the PyTorch model",
    "log.txt": "debug logging of hx, logging and warnings of the exporter, and what was printed",
    "report.md": "this page",
    "session.json": "all of this page and more, for programs",
}


def page(report: DebugReport, modules: Sequence[Module], files: Sequence[str]) -> str:
    """Return the page of a session, with the tree of its PyTorch model and the names of all files of its folder."""
    notes = list(report.notes)
    if report.static_axes:
        notes.append(f"The model itself fixes these axes, left static: {', '.join(report.static_axes)}.")
    parts = [
        f"# {report.model}",
        f"**{report.summary}**",
        f"```sh\n{report.command}\n```",
        _versions(report),
        *_errors(report),
        "## Exports",
        _attempts(report.attempts),
        _list(notes),
        *_comparison(report),
        *_coverage(report),
        *_model(report, modules),
        "## Steps",
        _table(("step", "", "time"), [(step.name, step.status, f"{step.seconds:.1f} s") for step in report.steps]),
        "## Files",
        _table(("file", "holds"), [(f"`{name}`", FILES.get(name, "the exporter's own report")) for name in files]),
        "Weights and inputs are in these files, as asked for with --with-weights."
        if report.with_weights
        else "Numbers of weights and inputs were left out: initializers are inputs without a value, constants are zeros. "
        "Paths of the machine are shortened.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _versions(report: DebugReport) -> str:
    machine = report.environment
    wanted = ("hx-onnx", "torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")
    versions = ", ".join(f"{name} {machine.versions[name]}" for name in wanted)
    memory = f", {size(machine.memory_bytes)} memory" if machine.memory_bytes else ""
    return _list(
        [
            f"{machine.python}, {versions}",
            f"{machine.platform}, {plural(machine.cores, 'core')}{memory}",
            *(f"{name}={value}" for name, value in machine.variables.items()),
        ]
    )


def _errors(report: DebugReport) -> Iterable[str]:
    """All different errors, with the end of their tracebacks."""
    rows = [(f"{row.kind} export, {row.strategy} {row.settings}".strip(), row.error) for row in report.attempts]
    rows += [(f"step {step.name}", step.error) for step in report.steps]
    seen: set[str] = set()
    for title, error in rows:
        if error is None or error.message in seen or error.type.endswith("journal.Failed"):
            continue
        seen.add(error.message)
        lines = error.traceback.rstrip().splitlines()
        cut = ["..."] if len(lines) > TRACEBACK else []
        hint = f"\n\nhint: {error.hint}" if error.hint else ""
        yield f"## Error: {title}"
        yield f"{error.code or error.type}: {_line(error.message)}{hint}\n\n" + _fenced([*cut, *lines[-TRACEBACK:]])


def _line(text: str) -> str:
    return " ".join(text.split())


def _fenced(lines: Iterable[str]) -> str:
    text, fence = "\n".join(lines), "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def _attempts(attempts: Sequence[AttemptEntry]) -> str:
    def cells(row: AttemptEntry) -> tuple[str, ...]:
        why = "" if row.error is None else _line(row.error.message).replace("|", "\\|")
        return f"{row.kind} {row.settings}".strip(), row.strategy, row.status, f"{row.seconds:.1f} s", why

    return (
        _table(("export", "strategy", "", "time", "why not"), map(cells, attempts)) if attempts else "None was tried."
    )


def _comparison(report: DebugReport) -> Iterable[str]:
    found = report.comparison
    if found is None:
        return
    yield "## Plain export and hierarchy export"
    if found.same:
        order = "" if report.first_difference is None else f" In their order they differ: {report.first_difference}."
        yield f"The same topology: {found.nodes[0]} nodes, SHA-256 `{found.digests[0][:16]}`.{order}"
        return
    yield f"{found.nodes[0]} and {found.nodes[1]} nodes. First difference: {report.first_difference}."
    if rows := [(name, str(one), str(two)) for name, (one, two) in found.operators.items()]:
        yield _table(("operator", "plain", "hierarchy"), rows)
    words = [
        *(f"inputs {word}" for word in found.inputs),
        *(f"outputs {word}" for word in found.outputs),
        *found.elsewhere,
        *(
            f"they part at {row.op_type} `{row.node}` ({_module(row.module)}); the other has "
            f"{f'{row.other_op_type} `{row.other}`' if row.other else 'nothing there'}"
            for row in found.divergence[:10]
        ),
    ]
    for title, groups in (("only plain", found.removed), ("only hierarchy", found.added), ("rewired", found.rewired)):
        for group in groups[:20]:
            operators = ", ".join(f"{n} {name}" for name, n in group.operators.items())
            words.append(f"{title}: {_module(group.module)}: {operators}, in {plural(group.modules, 'module')}")
    yield _list(words)


def _module(name: str | None) -> str:
    return "module unknown" if name is None else f"`{name}`" if name else "the model itself"


def _coverage(report: DebugReport) -> Iterable[str]:
    if report.nodes is None or report.exact_percent is None or report.covered_percent is None:
        return
    yield "## Hierarchy export"
    calls = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in report.calls.items())
    lines = [
        f"strategy {report.strategy}",
        f"{report.nodes} nodes, {percent(report.exact_percent)} exact, {percent(report.covered_percent)} covered",
        f"calls: {calls}",
    ]
    check = report.verification
    if check is not None:
        error = f", {check.relative_error:.1e} of the largest value" if check.relative_error is not None else ""
        worst = f", at `{check.worst_output}`" if check.worst_output else ""
        reason = f": {check.reason}" if check.reason else ""
        lines.append(f"outputs beside PyTorch: {check.status.replace('_', ' ')}{error}{worst}{reason}")
    yield _list(lines)


def _model(report: DebugReport, modules: Sequence[Module]) -> Iterable[str]:
    yield "## Model and inputs"
    if report.class_name is None:
        yield "Not loaded."
        return
    weights = "" if report.parameters is None else f", {count(report.parameters)} parameters"
    yield f"`{report.class_name}`{weights}, {plural(len(modules), 'module')}"
    if report.inputs:
        rows = [(f"`{row.name}`", row.dtype, str(row.shape)) for row in report.inputs]
        yield _table(("input", "dtype", "shape"), rows)
    else:
        yield "No inputs."
    yield _fenced(_tree(modules))


def _tree(modules: Sequence[Module]) -> Iterable[str]:
    """Yield modules by depth as far as there is room, in their order."""
    levels = depths([module.parent for module in modules])
    deepest = max((d for d in set(levels) if sum(x <= d for x in levels) <= TREE), default=0)
    for module, depth in zip(modules, levels, strict=True):
        if depth <= deepest:
            name = module.fqn.rpartition(".")[2]
            yield f"{'  ' * depth}{f'{name}: ' if name else ''}{simple_name(module.class_name)}"
    if hidden := sum(depth > deepest for depth in levels):
        yield f"and {plural(hidden, 'module')} below; all are in modules.json"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    first, *rest = (f"| {' | '.join(row)} |" for row in (head, *rows))
    return "\n".join([first, "|---" * len(head) + "|", *rest])


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)
