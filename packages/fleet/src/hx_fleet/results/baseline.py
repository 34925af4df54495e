"""What is other than in an earlier run: which steps, and which module calls in form, numbers or time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hx.records.fleet import FleetChange
from hx.text import duration, number
from hx_fleet.results.dataset import CALLS, STEPS
from hx_sidecar_schema import HxError, first_line

ERRORS = ("extract_error", "local_error")
WORSE, ERROR = 10.0, 1e-5
"""Numbers are other where `wrong` is, or an error beyond ERROR that is more than WORSE times the other."""
RATIO, SHARE = 1.5, 0.05
"""Time is other where the own time of a call, or the whole model's, is so many times the other, the difference is more than this
share of the model's time, and more than the spread of both runs of it."""
Row = dict[str, Any]


def check_baseline(path: Path, output: Path, names: Sequence[str], steps: Sequence[str]) -> None:
    """Stop with HX417 where a folder is no earlier run, or none of these models went through one of these steps there."""
    if path.exists() and output.exists() and path.samefile(output):
        hint = "Name another folder for this run."
        raise HxError(f"Baseline {str(path)!r} is the run itself.", code="HX417", hint=hint, argument="output")
    try:
        pq.read_schema(path / CALLS)
        rows = pq.read_table(path / STEPS, columns=["model", "step"]).to_pylist()
    except (OSError, ValueError) as error:
        hint = "Name the folder of a run that has ended: it holds steps.parquet and calls.parquet."
        message = f"Baseline {str(path)!r} is no run: {first_line(error)}."
        raise HxError(message, code="HX417", hint=hint, argument="baseline") from error
    models, known = {row["model"] for row in rows}, set(names)
    if models.isdisjoint(known):
        hint = f"It has {len(models)} models, like {next(iter(models), 'none')!r}: give the models these names."
        message = f"Baseline {str(path)!r} has none of the models of the run, like {names[0]!r}."
        raise HxError(message, code="HX417", hint=hint, argument="baseline")
    taken = {row["step"]: None for row in rows if row["model"] in known}
    if taken.keys().isdisjoint(steps):
        hint = f"Its steps are {', '.join(taken)}: name one of them in `steps`."
        message = f"Baseline {str(path)!r} has none of the steps of the run: {', '.join(steps)}."
        raise HxError(message, code="HX417", hint=hint, argument="baseline")


def changes_of(before: Path, after: Path) -> list[FleetChange]:
    """Compare the models that two runs have both: folders with data sets. What one of them did not measure is not compared."""
    changes: list[FleetChange] = []
    others = dict(_by_model(before / STEPS))
    for model, rows in _by_model(after / STEPS):
        if model in others:
            changes += _steps(model, others[model], rows)
    others = dict(_by_model(before / CALLS))
    for model, rows in _by_model(after / CALLS):
        if model in others:
            changes += _calls(model, others[model], rows)
    return changes


def _by_model(path: Path) -> Iterator[tuple[str, list[Row]]]:
    with pq.ParquetFile(path) as file:
        rows: Iterator[Row] = (row for batch in file.iter_batches() for row in batch.to_pylist())
        for model, group in groupby(rows, key=itemgetter("model")):
            yield model, list(group)


def _steps(model: str, before: list[Row], after: list[Row]) -> Iterator[FleetChange]:
    """Yield the first step that ended otherwise: what follows from it is no news."""
    known = {row["step"]: row for row in before}
    for row in after:
        other = known.get(row["step"])
        if other is not None and _said(other) != _said(row):
            yield FleetChange(model=model, fqn=None, call=None, what="step", before=_said(other), after=_said(row))
            return


def _said(row: Row) -> str:
    return " ".join(filter(None, (row["step"], row["status"], row["code"])))


def _calls(model: str, before: list[Row], after: list[Row]) -> Iterator[FleetChange]:
    known = {(row["fqn"], row["call"]): row for row in before}
    found = {(row["fqn"], row["call"]): row for row in after}
    measured = all(rows[0]["typical_us"] is not None for rows in (before, after))
    least = (
        max(
            SHARE * max(rows[0]["typical_us"] for rows in (before, after)),
            sum(rows[0]["spread_us"] or 0 for rows in (before, after)),
        )
        if measured
        else 0.0
    )
    errors = [name for name in ERRORS if all(any(row[name] is not None for row in rows) for rows in (before, after))]
    for key in dict.fromkeys([*known, *found]):
        one, two = known.get(key), found.get(key)

        def change(what: str, old: str, new: str, key: tuple[str, int] = key) -> FleetChange:
            return FleetChange(model=model, fqn=key[0], call=key[1], what=what, before=old, after=new)

        if one is None or two is None:
            yield change(
                "form", "not there" if one is None else one["status"], "not there" if two is None else two["status"]
            )
            continue
        if one["status"] != two["status"]:
            yield change("form", one["status"], two["status"])
        elif one["form"] and two["form"] and one["form"] != two["form"]:
            yield change("form", one["form"][:8], two["form"][:8])
        for name in errors:
            if _is_other_error(one[name], two[name]):
                old, new = (f"{name} {number(row[name]) or 'none'}" for row in (one, two))
                yield change("numbers", old, new)
        if None not in (one["wrong"], two["wrong"]) and one["wrong"] != two["wrong"]:
            right = {False: "right", True: "wrong"}
            yield change("numbers", right[one["wrong"]], right[two["wrong"]])
        if measured:
            column = "own_us" if one["fqn"] else "typical_us"
            times = one[column] or 0.0, two[column] or 0.0
            if max(times) > RATIO * min(times) and abs(times[1] - times[0]) > least:
                yield change("time", duration(times[0]), duration(times[1]))


def _is_other_error(one: float | None, two: float | None) -> bool:
    """Say whether an error is other; one that is none among others of its run is infinite, or could not be compared."""
    less, more = sorted(math.inf if error is None else error for error in (one, two))
    return more > max(ERROR, WORSE * less)
