"""Both exports of a model beside each other, and everything that a maintainer would ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from hx._compare import compare_graphs, modules_of
from hx._debug.journal import Failed, Journal
from hx._export.export import ExportRequest, attribute
from hx._models import given_inputs
from hx._redacted import Redactor
from hx.records.compare import CompareReport
from hx.records.debug import AttemptEntry
from hx.records.export import Verification
from hx_sidecar_schema import Module, Sidecar, Strategy

if TYPE_CHECKING:
    import onnx_ir as ir

    from hx_tracer import ExampleInputs, Exported, LoadedModel

PLAIN, HIERARCHY = "plain.onnx", "model.onnx"
NO_GRADIENTS = "under torch.no_grad()"

Made = TypeVar("Made")


@dataclass
class Session:
    """What there is so far; every field may stay empty, since every step may fail."""

    request: ExportRequest
    journal: Journal
    places: Redactor
    """Shortens paths of this machine."""
    reports: Path
    """An empty folder for the exporter's own reports."""
    with_weights: bool
    """Keep numbers of weights and inputs, and the fingerprints of a run in PyTorch."""
    failure: BaseException | None = None
    """Why there is no model, or no inputs for it."""
    loaded: LoadedModel | None = None
    modules: list[Module] = field(default_factory=list[Module])
    inputs: ExampleInputs | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """Arguments of every export."""
    attempts: list[AttemptEntry] = field(default_factory=list[AttemptEntry])
    plain: ir.Model | None = None
    exported: Exported | None = None
    strategy: Strategy | None = None
    """With which `exported` was made."""
    sidecar: Sidecar | None = None
    verification: Verification | None = None
    first_difference: str | None = None
    comparison: CompareReport | None = None


def run_session(session: Session, *, verify: bool) -> None:
    """Load, export twice, attribute, verify and compare; go on with what is left where a step fails."""
    with session.journal.listening():
        try:
            _load(session)
        except Failed as failed:
            session.failure = failed.__cause__
            return
        for step in (_export_hierarchy, _export_plain, _attribute, *([_verify] if verify else []), _compare):
            with suppress(Failed):
                step(session)


def _load(session: Session) -> None:
    request = session.request
    with session.journal.step("load", "Loading torch and the model"):
        request.strategies()  # a strategy that does not exist is found before the model is loaded
        from hx_tracer import check_torch_nn, module_records

        check_torch_nn(request.torch_nn)
        session.loaded = request.pytorch.load()
        session.modules = module_records(session.loaded.module, request.torch_nn)
    with session.journal.step("inputs", "Making inputs"):
        session.inputs = given_inputs(session.loaded, request.args, request.kwargs, request.input_shapes)
        session.options = request.options(session.loaded.module, session.inputs)


def _tried(
    session: Session, kind: str, strategy: Strategy, make: Callable[..., Made], settings: str = "", **options: Any
) -> Made | None:
    """Export, note the attempt, and return what it made."""
    assert session.loaded is not None
    start = time.perf_counter()
    error, made = None, None
    try:
        made = make(session.loaded.module, **session.options, **options, strategy=strategy)
    except Exception as caught:  # noqa: BLE001 - a session tells of every failure, and goes on with the next attempt
        error = caught
        session.journal.log.write(f"{kind}, {strategy.name}: {error}\n")
    seconds = round(time.perf_counter() - start, 3)
    status, entry = ("done", None) if error is None else ("failed", session.journal.entry(error))
    row = AttemptEntry(
        kind=kind, strategy=strategy.name, settings=settings, status=status, seconds=seconds, error=entry
    )
    session.attempts.append(row)
    return made


def _export_hierarchy(session: Session) -> None:
    from hx_tracer import export

    torch_nn = session.request.torch_nn
    with session.journal.step("export", "Exporting with hx"):
        for strategy in session.request.strategies():
            session.exported = _tried(session, "hierarchy", strategy, export, torch_nn=torch_nn)
            if session.exported is not None:
                session.strategy = strategy
                args, kwargs = session.exported.arguments  # what of size 1 was repeated, say
                session.options |= {"args": args, "kwargs": kwargs}
                return
        raise Failed("export")


def _export_plain(session: Session) -> None:
    """Export with every exporter that hx tried, and once more without gradients where it fails, as hx does."""
    from hx_tracer import plain_export

    tried = {row.strategy for row in session.attempts}
    exporters: dict[str, Strategy] = {}
    for strategy in session.request.strategies():
        if strategy.name in tried:
            exporters.setdefault(strategy.exporter, strategy)
    made: dict[str, ir.Model] = {}
    with session.journal.step("plain", "Exporting with torch.onnx.export alone"):
        for exporter, strategy in exporters.items():
            model = _tried(session, "plain", strategy, plain_export, report_folder=session.reports)
            if model is None:
                model = _tried(session, "plain", strategy, plain_export, NO_GRADIENTS, gradients=False)
            if model is not None:
                made[exporter] = model
        wanted = session.strategy.exporter if session.strategy is not None else next(iter(made), "")
        session.plain = made.get(wanted)
        if session.plain is None:
            raise Failed("plain")


def _attribute(session: Session) -> None:
    if session.exported is None or session.strategy is None:
        return
    with session.journal.step("attribute", "Finding the module of every node"):
        session.sidecar, session.exported = attribute(
            session.exported, session.strategy, file=HIERARCHY, min_confidence=session.request.min_confidence
        )


def _verify(session: Session) -> None:
    if session.exported is None or session.loaded is None or session.inputs is None:
        return
    from hx._export.numbers import verify_export

    with session.journal.step("verify", "Comparing the outputs with PyTorch"), TemporaryDirectory() as folder:
        path = Path(folder) / HIERARCHY
        session.exported.program.save(path, external_data=True)
        session.verification = verify_export(path, session.loaded.module, session.inputs, session.exported)


def _compare(session: Session) -> None:
    if session.exported is None or session.plain is None:
        return
    from hx_projector import first_difference

    models = session.plain, session.exported.program.model
    with session.journal.step("compare", "Comparing the exports"):
        session.first_difference = first_difference(*models)
        owners = modules_of(session.sidecar) if session.sidecar is not None else {}
        # The same nodes have the same values in both, where they are alike.
        session.comparison = compare_graphs(models, (PLAIN, HIERARCHY), lambda _: owners)
