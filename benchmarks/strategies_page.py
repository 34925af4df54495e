"""The tables of strategies.py, and docs/strategies.md around them."""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hx_sidecar_schema import STRATEGIES

Row = dict[str, Any]
"""What strategies.py found of one model with one strategy."""
RENAMED = ("dynamo", "htp")
"""Strategies whose graphs are renamed."""
LISTED = 6
"""Nodes that are named of each row."""
FIGURES = (
    "nodes",
    "covered %",
    "exact %",
    "right %",
    "wrong, by the exporter",
    "wrong, by the witness",
    "mixed layers",
    "extractable",
    "equal",
    "time",
)
HEAD = ("model", "strategy", *FIGURES)


def line(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def cells(row: Row) -> list[str]:
    """Return a row's cells, under `HEAD`."""
    name = [row["model"], row["strategy"]]
    if "exact" not in row:
        code = row["refused"].partition(":")[0] if "refused" in row else "crashed"
        return [*name, code, *[""] * (len(FIGURES) - 1)]
    return [
        *name,
        str(row["nodes"]),
        f"{row['covered']:g}",
        f"{row['exact']:g}",
        *_against_exporter([row]),
        _wrong([row["witness"]]),
        str(_mixed(row)),
        str(row["extractable"]),
        str(row["equal"]),
        f"{row['ratio']:.1f}",
    ]


def offences(row: Row) -> list[str]:
    """Return what is wrong with high confidence, or in the wrong layer, as sentences."""
    if "exact" not in row:
        return []
    judged = [row["exporter"], row["witness"]]
    found = [offence for one in judged for kind in ("wrong", "contaminated") for offence in one[kind]]
    blind = row.get("renamed", {})
    texts = [_said(*offence) for offence in found]
    texts += [
        f"renamed, {_said(*offence)}" for kind in ("wrong", "contaminated") for offence in blind.get(kind, [])
    ]
    return list(dict.fromkeys(texts))


def summary(rows: Sequence[Row]) -> str:
    """Return the table of all models together, a line a strategy."""
    lines: list[Sequence[str]] = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        every = [row for row in rows if row["strategy"] == name]
        good = [row for row in every if "exact" in row]
        nodes = sum(row["nodes"] for row in good)
        lines.append(
            [
                name,
                f"{len(good)} of {len(every)}",
                str(nodes),
                _percent(sum(row["nodes"] * row["covered"] for row in good) / 100, nodes),
                _percent(sum(row["nodes"] * row["exact"] for row in good) / 100, nodes),
                *_against_exporter(good),
                _wrong([row["witness"] for row in good]),
                str(sum(_mixed(row) for row in good)),
                str(sum(row["extractable"] for row in good)),
                str(sum(row["equal"] for row in good)),
                f"{statistics.median(row['ratio'] for row in good):.1f}" if good else "-",
            ]
        )
    return _table(("strategy", "models", *FIGURES), lines)


def renamed(rows: Sequence[Row]) -> str:
    """Return the table of graphs without names."""
    good = [row for row in rows if "renamed" in row]
    head = (
        "model",
        "graph of",
        "nodes",
        "exact % as exported",
        "exact % renamed",
        "covered % renamed",
        "right %",
        "wrong",
        "mixed layers",
    )
    lines: list[Sequence[str]] = []
    for name in RENAMED:
        ours = [row for row in good if row["strategy"] == name]
        lines += [_renamed_line(row["model"], [row]) for row in ours]
        lines += [_renamed_line("all", ours)] if len(ours) > 1 else []
    return _table(head, lines)


def page(rows: Sequence[Row], families: Mapping[str, Sequence[str]]) -> str:
    """Return docs/strategies.md.

    Args:
        rows: All of them.
        families: Models by the headings of their tables.
    """
    packages = ("torch", "transformers", "onnx", "onnx-ir", "onnxruntime")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    about = "\n".join(f"- `{name}`: {strategy.about}." for name, strategy in STRATEGIES.items())
    tables = [
        f"### {family}\n\n" + _table(HEAD, [cells(row) for row in rows if row["model"] in models])
        for family, models in families.items()
    ]
    return PAGE.format(
        versions=versions,
        about=about,
        summary=summary(rows),
        tables="\n\n".join(tables),
        refusals=_refusals(rows),
        renamed=renamed(rows),
        offences=_listed(rows),
    )


def _against_exporter(rows: Sequence[Row]) -> tuple[str, str]:
    """Return cells for the share that is right, and for what is wrong; none where it would judge itself."""
    if not rows or STRATEGIES[rows[0]["strategy"]].sources[0] == "exporter":
        return "-", "-"
    judged = [row["exporter"] for row in rows]
    return _percent(sum(one["right"] for one in judged), sum(one["known"] for one in judged)), _wrong(judged)


def _wrong(judged: Sequence[Mapping[str, Any]]) -> str:
    wrong = [offence for one in judged for offence in one["wrong"]]
    nested = sum(offence[-1] for offence in wrong)
    return f"{len(wrong)} of {sum(one['sure'] for one in judged)}" + (f" ({nested} nested)" if nested else "")


def _mixed(row: Row) -> int:
    return len({offence[0] for by in ("exporter", "witness") for offence in row[by]["contaminated"]})


def _said(
    node: str, op_type: str, evidence: str, confidence: str, owner: str, truth: str, record: str, _: bool
) -> str:
    return f"`{node}` ({op_type}): `{owner}` by {evidence}, {confidence}; the {record} says `{truth}`"


def _renamed_line(name: str, rows: Sequence[Row]) -> list[str]:
    nodes, blind = sum(row["nodes"] for row in rows), [row["renamed"] for row in rows]

    def mean(values: Sequence[float]) -> str:
        total = sum(row["nodes"] * value for row, value in zip(rows, values, strict=True))
        return _percent(total / 100, nodes)

    return [
        name,
        rows[0]["strategy"],
        str(nodes),
        mean([row["exact"] for row in rows]),
        mean([one["exact"] for one in blind]),
        mean([one["covered"] for one in blind]),
        _percent(sum(one["right"] for one in blind), sum(one["known"] for one in blind)),
        _wrong(blind),
        str(sum(len(one["contaminated"]) for one in blind)),
    ]


def _refusals(rows: Sequence[Row]) -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if reason := row.get("refused") or row.get("crash"):
            text = reason.replace(row.get("class_name", "") or "\0", "…")
            found.setdefault((row["strategy"], text), []).append(row["model"])
    return _table(
        ("strategy", "models", "reason"),
        [(name, ", ".join(models), reason) for (name, reason), models in found.items()],
    )


def _listed(rows: Sequence[Row]) -> str:
    parts: list[str] = []
    for row in rows:
        found = offences(row)
        lines = [f"- {text}" for text in found[:LISTED]]
        lines += [f"- and {len(found) - LISTED} more"] if len(found) > LISTED else []
        if lines:
            parts.append(f"{row['model']}, {row['strategy']}:\n\n" + "\n".join(lines))
    return "\n\n".join(parts) or "There are none."


def _percent(part: float, whole: float) -> str:
    """Return a share with one decimal that never shows 100 for less than all."""
    if not whole:
        return "-"
    share = 100 * part / whole
    return f"{min(share, 99.9) if share < 99.9999 else 100:.3g}" if share else "0"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([line(head), "|---" * len(head) + "|", *(line(row) for row in rows)])


PAGE = """PLACEHOLDER"""
