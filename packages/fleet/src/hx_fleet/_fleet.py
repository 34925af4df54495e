"""A run: which units are left, an engine that runs them, and what all results together say."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import hx
from hx.files import check_writable
from hx.records.fleet import FleetFailure, FleetReport, FleetRun, ModelResult
from hx.text import kind
from hx_fleet._settings import Run, check_folder, check_versions, only_failed, read_run, units_of
from hx_fleet._units import RunFolder, Unit, remove_shares
from hx_fleet.results.baseline import changes_of, check_baseline
from hx_fleet.results.dataset import write_dataset
from hx_fleet.results.page import html_page
from hx_sidecar_schema import HxError, check_choice


def run_fleet(
    run: Run,
    output: str | Path | None,
    *,
    baseline: str | Path | None,
    only: str | None,
    shard: str | None,
    fail_fast: bool,
    overwrite: bool,
    ray: str | None,
    progress: hx.Progress,
    **changes: Any,
) -> FleetReport:
    """Run what is left of a run, and write what all of it gave; see `hx.fleet`."""
    began = time.monotonic()
    check_choice("only", only or "failed", ["failed"])
    settings, base = read_run(run, {name: value for name, value in changes.items() if value is not None})
    if output is None:
        output = Path(run).stem if isinstance(run, str | Path) else "fleet"
    folder = RunFolder(Path(output).absolute())
    units = units_of(settings, base, shard, folder.path)
    if baseline is not None:
        names = [unit.name for unit in units_of(settings, base, None, folder.path)]  # those of a shard may be new
        check_baseline(Path(baseline), folder.path, names, settings.steps)
    check_writable(folder.path)
    check_folder(folder)
    with _writing(str(output)), folder.held() as is_ours:
        if not is_ours:
            hint = "Wait for it, or name another folder."
            raise HxError(f"Run {str(output)!r} is being run by another process.", code="HX418", hint=hint)
        if overwrite:
            _remove_results(folder)
        check_versions(folder, overwrite=overwrite)
        if only == "failed":
            with_shares = [one for unit in units for one in (unit, *unit.of_shares())]
            for one in only_failed(with_shares, folder):
                folder.result(one.id).unlink()
        pending = [unit for unit in units if not folder.result(unit.id).exists()]
        shares = [share for unit in pending for share in unit.of_shares()]
        for part in (shares, units):  # a unit puts together what its shares found
            left = [unit for unit in part if not folder.result(unit.id).exists()]
            if left and not _run(left, len(part), folder, settings, fail_fast=fail_fast, ray=ray, progress=progress):
                break
        progress("Writing the data set", 0, 0)
        finished = [unit for unit in units if folder.result(unit.id).exists()]
        remove_shares({unit.id for unit in finished}, folder)
        stopped = [share for share in shares if folder.result(share.id).exists()]  # before their units began
        write_dataset(_results(finished, folder), folder.path)
        changes_found = [] if baseline is None else changes_of(Path(baseline), folder.path)
        report = FleetReport(
            output=str(output),
            models=len(units),
            finished=len(finished),
            resumed=len(units) - len(pending),
            statuses=_statuses(_results(finished, folder), settings),
            failures=_failures(_results([*finished, *stopped], folder)),
            baseline=None if baseline is None else str(baseline),
            changes=changes_found,
            seconds=round(time.monotonic() - began, 1),
        )
        page = html_page(report, _results(finished, folder), settings.steps)
        written = folder.path / "working" / "summary.html"
        written.write_text(page, encoding="utf-8")
        written.replace(folder.path / "summary.html")
        if len(finished) == len(units):
            shutil.rmtree(folder.path / "working", ignore_errors=True)
    return report


def _run(
    pending: Sequence[Unit],
    total: int,
    folder: RunFolder,
    settings: FleetRun,
    *,
    fail_fast: bool,
    ray: str | None,
    progress: hx.Progress,
) -> bool:
    """Let an engine run units; return whether all ran."""
    before, failed, began = total - len(pending), 0, time.monotonic()
    done = before
    with closing(_engine(pending, folder, settings, ray)) as engine:
        progress("Starting", done, total)
        for unit, running in engine:
            if unit is not None:
                done += 1
                result = folder.read(unit.id)
                failed += result is None or any(step.status == "failed" for step in result.steps)
            says = f"{failed} failed, " if failed else ""
            if before < done < total:
                minutes = (time.monotonic() - began) / (done - before) * (total - done) / 60
                says += f"about {math.ceil(minutes)} min left, "
            names = ", ".join(one.name for one in running[:3]) + (", …" if len(running) > 3 else "")
            progress(f"{says}{names}".removesuffix(", "), done, total)
            if failed and fail_fast:
                return False
    return True


def _engine(
    units: Sequence[Unit], folder: RunFolder, settings: FleetRun, ray: str | None
) -> Generator[tuple[Unit | None, list[Unit]]]:
    if ray is not None:
        from hx_fleet.engines.on_ray import run_on_ray

        return run_on_ray(units, folder, workers=settings.workers, threads=settings.threads, address=ray)
    from hx_fleet.engines.local import run_local

    return run_local(units, folder, workers=settings.workers, threads=settings.threads)


@contextmanager
def _writing(output: str) -> Generator[None]:
    """Turn what the system refuses into HX306: a disk that is full, or a folder that became read-only."""
    try:
        yield
    except OSError as error:
        hint = "Make room there, then start the run again with only='failed': it goes on where it was, and steps that had no room run again."
        message = f"Run {output!r} cannot be written: {error.strerror or error}."
        raise HxError(message, code="HX306", hint=hint) from error


def _remove_results(folder: RunFolder) -> None:
    """Remove what a run has written, and nothing else; `run.json` stays, by which it is one."""
    for name in ("steps.parquet", "calls.parquet", "summary.html"):
        (folder.path / name).unlink(missing_ok=True)
    for name in ("results", "artefacts", "logs"):
        if (folder.path / name).exists():
            shutil.rmtree(folder.path / name)


def _results(units: Iterable[Unit], folder: RunFolder) -> Iterator[ModelResult]:
    """Yield results, one in memory at once."""
    for unit in units:
        result = folder.read(unit.id)
        assert result is not None
        yield result


def _statuses(results: Iterable[ModelResult], settings: FleetRun) -> dict[str, dict[str, int]]:
    counts = {step: Counter[str]() for step in settings.steps}
    for result in results:
        for row in result.steps:
            counts[row.step][row.status] += 1
    return {step: dict(sorted(found.items())) for step, found in counts.items()}


def _failures(results: Iterable[ModelResult]) -> list[FleetFailure]:
    """Return failures by kind; causes that differ in numbers and names in quotes alone are one."""
    found: dict[tuple[str, ...], FleetFailure] = {}
    for result in results:
        for row in result.steps:
            if row.status in ("failed", "wrong"):
                how, log = row.kind or row.status, f"logs/{result.unit}.log"
                failure = FleetFailure(step=row.step, kind=how, code=row.code, cause=row.cause, log=log, models=[])
                models = found.setdefault((row.step, how, row.code, kind(row.cause)), failure).models
                models += [row.model] if row.model not in models[-1:] else []  # several shares of one
    return sorted(found.values(), key=lambda one: (-len(one.models), one.step, one.kind, one.cause))
