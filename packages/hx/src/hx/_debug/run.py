"""Both exports of a model beside each other, and everything that a maintainer would ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from hx._compare import compare_graphs, modules_of
from hx._debug.journal import Failed, Journal
from hx._debug.redacted import Redactor
from hx._export import ExportRequest, attribute
from hx.records.compare import CompareReport
from hx.records.debug import AttemptEntry, InputEntry
from hx.records.export import Verification
from hx_sidecar_schema import Module, ModuleContext, Sidecar, Strategy

if TYPE_CHECKING:
    import onnx_ir as ir

    from hx_tracer import ExampleInputs, Exported, LoadedModel

PLAIN, HIERARCHY = "plain.onnx", "model.onnx"
NO_GRADIENTS = "under torch.no_grad()"

Made = TypeVar("Made")


@dataclass
class Session:
    """What there is so far; every field may stay empty, since every step may fail.

    Attributes:
        request: What to export and how.
        journal: Notes of what happens.
        places: Shortens paths of this machine.
        reports: An empty folder for the exporter's own reports.
        failure: Why there is no model, or no inputs for it.
    """

    request: ExportRequest
    journal: Journal
    places: Redactor
    reports: Path
    failure: BaseException | None = None
    loaded: LoadedModel | None = None
    modules: list[Module] = field(default_factory=list[Module])
    inputs: ExampleInputs | None = None
    attempts: list[AttemptEntry] = field(default_factory=list[AttemptEntry])
    plain: ir.Model | None = None
    exported: Exported | None = None
    strategy: Strategy | None = None
    context: ModuleContext | None = None
    sidecar: Sidecar | None = None
    verification: Verification | None = None
    first_difference: str | None = None
    comparison: CompareReport | None = None


def run_session(session: Session, *, verify: bool) -> None:
    """Load, export twice, attribute, verify and compare; go on with what is left where a step fails.

    Args:
        session: Filled in. `failure` is set where there was nothing to export.
        verify: Compare the outputs with PyTorch too.
    """
    journal = session.journal
    with journal.listening():
        try:
            with journal.step("load", "Loading torch and the model"):
                _load(session)
            with journal.step("inputs", "Making inputs"):
                options = _inputs(session)
        except Failed as failed:
            session.failure = failed.__cause__
            return
        _attempt(lambda: _export_hierarchy(session, options))
        _attempt(lambda: _export_plain(session, options))
        _attempt(lambda: _attribute(session))
        if verify:
            _attempt(lambda: _verify(session))
        _attempt(lambda: _compare(session))


def input_entries(session: Session) -> list[InputEntry]:
    """Return the tensors that the model was given, with the paths that they have among its arguments."""
    if session.inputs is None:
        return []
    from hx_tracer import input_paths

    named = {f"args.{index}": value for index, value in enumerate(session.inputs.args)} | session.inputs.kwargs
    return [
        InputEntry(name=path, dtype=str(tensor.dtype).removeprefix("torch."), shape=list(tensor.shape))
        for path, tensor in input_paths(named)
    ]


def _attempt(step: Callable[[], None]) -> None:
    try:
        step()
    except Failed:
        return


def _load(session: Session) -> None:
    session.request.strategies()  # a strategy that does not exist is found before the model is loaded
    from hx_tracer import module_records

    session.loaded = session.request.pytorch.load()
    session.modules = module_records(session.loaded.module, session.request.torch_nn)


def _inputs(session: Session) -> dict[str, Any]:
    assert session.loaded is not None
    session.inputs = session.request.inputs(session.loaded)
    return session.request.options(session.inputs)


def _tried(session: Session, kind: str, strategy: Strategy, settings: str, make: Callable[[], Made]) -> Made | None:
    """Note an attempt; return what it made."""
    start = time.perf_counter()
    error: Exception | None = None
    made: Made | None = None
    try:
        made = make()
    except Exception as caught:  # noqa: BLE001 - a session tells of every failure, and goes on with the next attempt
        error = caught
    session.attempts.append(
        AttemptEntry(
            kind=kind,
            strategy=strategy.name,
            settings=settings,
            status="done" if error is None else "failed",
            seconds=round(time.perf_counter() - start, 3),
            error=None if error is None else session.journal.entry(error),
        )
    )
    if error is not None:
        session.journal.log.write(f"{kind}, {strategy.name}: {error}\n")
    return made


def _export_hierarchy(session: Session, options: dict[str, Any]) -> None:
    from hx_tracer import export

    assert session.loaded is not None
    assert session.inputs is not None
    module, inputs, request = session.loaded.module, session.inputs, session.request
    with session.journal.step("export", "Exporting with hx"):
        for strategy in request.strategies():

            def make(strategy: Strategy = strategy) -> Exported:
                return export(module, inputs.kwargs, **options, torch_nn=request.torch_nn, strategy=strategy)

            session.exported = _tried(session, "hierarchy", strategy, "", make)
            if session.exported is not None:
                session.strategy = strategy
                return
        raise Failed("export")


def _export_plain(session: Session, options: dict[str, Any]) -> None:
    """Export with every exporter that hx tried, and once more without gradients where it fails, as hx does."""
    from hx_tracer import plain_export

    assert session.loaded is not None
    assert session.inputs is not None
    module, inputs = session.loaded.module, session.inputs
    tried = {row.strategy for row in session.attempts}
    exporters = {
        strategy.exporter: strategy for strategy in session.request.strategies()[::-1] if strategy.name in tried
    }
    made: dict[str, ir.Model] = {}
    with session.journal.step("plain", "Exporting with torch.onnx.export alone"):
        for exporter, strategy in reversed(exporters.items()):
            for gradients in (True, False):

                def make(strategy: Strategy = strategy, gradients: bool = gradients) -> ir.Model:
                    return plain_export(
                        module,
                        inputs.kwargs,
                        **options,
                        strategy=strategy,
                        gradients=gradients,
                        report_folder=session.reports if gradients else None,
                    )

                model = _tried(session, "plain", strategy, "" if gradients else NO_GRADIENTS, make)
                if model is not None:
                    made[exporter] = model
                    break
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
        session.context = session.exported.context


def _verify(session: Session) -> None:
    if session.exported is None:
        return
    from hx._whole_model import verify_export

    with session.journal.step("verify", "Comparing the outputs with PyTorch"), TemporaryDirectory() as folder:
        path = Path(folder) / HIERARCHY
        session.exported.program.save(path, external_data=True)
        session.verification = verify_export(path, session.exported.inputs, session.exported.result)


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
