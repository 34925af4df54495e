"""The page that `field.py` writes of its results."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from measuring import table

Row = dict[str, Any]
PACKAGES = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "transformers")


def page(rows: Sequence[Row], missing: Sequence[str], versions: Sequence[str]) -> str:
    """Return the Markdown page of all results."""
    files = [row for row in rows if "/" in row["name"]]
    models = [row for row in rows if "/" not in row["name"]]
    used = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"""# In the field

What hx makes of ONNX files and models that people have. {used}. `benchmarks/field.py` makes this page.

Percentages are nodes with an owner, and nodes whose owner is known exactly. `calls` can be cut out, `equal` of them computed what the
whole model or PyTorch computes, `differ` did not or could not be cut, `open` could not be compared. `findings` are those of `hx validate` on
all that was written, every part included. Seconds are those of all commands together, on one core.

## Files

{len(files)} files of {len({row["name"].partition("/")[0] for row in files})} packages through project, tree, analyze, validate, extract, compare, profile,
and relink of the copy that ONNX Runtime optimised (its calls and parts are those after the plus sign).

{_sums(files)}

{table(FILE_HEAD, [_file(row) for row in files])}

## Models

{len(models)} exports of models of libraries, small and with random weights, through export, validate, verify and extract.
`whole` is the exported model beside PyTorch, `wrong` are calls that `hx verify` calls wrong.

{_sums(models)}

{table(MODEL_HEAD, [_model(row) for row in models])}

## Not run for this table

{", ".join(missing) or "None"}.

## Versions

{", ".join(versions)}.
"""


KNOWN = {
    "tabnet": "the exporter drops the addition of 1e-15 before a logarithm: NaN, without hx too; PyTorch gives -0.9",
    "transformers_gpt2_cache": "torch.export refuses it without hx too",
    "silero-vad/silero_vad": "the run goes into the branch of one sampling rate: calls in the other are open",
    "silero-vad/silero_vad_op18_ifless": "as silero_vad",
}
"""What was found to be behind what a row says, by names of files and models."""

FILE_HEAD = (
    "file",
    "made by",
    "nodes",
    "owned",
    "exact",
    "calls",
    "equal",
    "differ",
    "open",
    "findings",
    "s",
    "what failed, *and why*",
)
MODEL_HEAD = (
    *("model", "axes", "nodes", "owned", "exact", "calls", "whole", "verified", "wrong", "equal", "differ", "open"),
    *("findings", "s", "what failed, *and why*"),
)


def _file(row: Row) -> tuple[str, ...]:
    after = row.get("relinked", {})
    both = [f"{_of(row, key)} + {_of(after, key)}" for key in ("extractable", "equal", "differ", "open")]
    return (*_cells(row["name"], row.get("exporter")), *_known(row), *both, *_end(row, {**_why(row), **_why(after)}))


def _model(row: Row) -> tuple[str, ...]:
    name, _, axes = row["name"].partition(" ")
    checked = _cells(row.get("extractable"), row.get("whole"), row.get("compared"), len(row.get("wrong", ())))
    parts = [_of(row, key) for key in ("equal", "differ", "open")]
    return (*_cells(name, axes), *_known(row), *checked, *parts, *_end(row, _why(row)))


def _known(row: Row) -> tuple[str, ...]:
    return _cells(*(row.get(key) for key in ("nodes", "covered_percent", "exact_percent")))


def _end(row: Row, why: dict[str, int]) -> tuple[str, ...]:
    failed = [*row["failed"], *(f"{count} x {reason}" for reason, count in why.items())][:4]
    known = KNOWN.get(row["name"].partition(" ")[0])
    findings = ", ".join(f"{count} {code}" for code, count in row["findings"].items())
    return _cells(findings or "0", row.get("seconds"), "; ".join([*failed, *([f"*{known}*"] if known else [])]))


def _why(row: Row) -> dict[str, int]:
    return row.get("why", {})


def _of(row: Row, key: str) -> str:
    return _cells(row.get(key))[0]


def _cells(*values: object) -> tuple[str, ...]:
    texts = ("" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return tuple(text.replace("|", "/").replace("\n", " ") for text in texts)


def _sums(rows: Iterable[Row]) -> str:
    parts = [part for row in rows for part in (row, row.get("relinked", {}))]
    count = {key: sum(part.get(key, 0) for part in parts) for key in ("extractable", "equal", "differ", "open")}
    findings: Counter[str] = Counter()
    for row in rows:
        findings.update(row["findings"])
    failed = sum(bool(row["failed"]) for row in rows)
    return (
        f"Calls {count['extractable']}: {count['equal']} equal, {count['differ']} differ, {count['open']} open. "
        f"Findings: {', '.join(f'{n} {code}' for code, n in findings.items()) or 'none'}. With a command that failed: {failed}."
    )
