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
        _mixed([row]),
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
    texts = [_said(offence) for offence in found]
    texts += [
        f"renamed, {axes}, {_said(offence)}"
        for axes, blind in row.get("renamed", {}).items()
        for kind in ("wrong", "contaminated")
        for offence in blind.get(kind, [])
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
                _mixed(good),
                str(sum(row["extractable"] for row in good)),
                str(sum(row["equal"] for row in good)),
                f"{statistics.median(row['ratio'] for row in good):.1f}" if good else "-",
            ]
        )
    return _table(("strategy", "models", *FIGURES), lines)


def renamed(rows: Sequence[Row]) -> str:
    """Return the table of graphs without names."""
    head = (
        "model",
        "graph of",
        "axes",
        "nodes",
        "exact % as exported",
        "exact % renamed",
        "of the rest, asides",
        "covered % renamed",
        "right %",
        "wrong",
        "mixed layers",
    )
    lines: list[Sequence[str]] = []
    for name in RENAMED:
        for axes in ("static", "dynamic"):
            found = {
                row["model"]: row["renamed"][axes]
                for row in rows
                if row["strategy"] == name and "nodes" in row.get("renamed", {}).get(axes, {})
            }
            lines += [_renamed_line([model, name, axes], [one]) for model, one in found.items()]
            lines += [_renamed_line(["all", name, axes], list(found.values()))] if len(found) > 1 else []
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
    return _counted(wrong, f"{len(wrong)} of {sum(one['sure'] for one in judged)}")


def _mixed(rows: Sequence[Mapping[str, Any]], judges: Sequence[str] = ("exporter", "witness")) -> str:
    found = {(index, o[0]): o for index, row in enumerate(rows) for by in judges for o in row[by]["contaminated"]}
    return _counted(list(found.values()), str(len(found)))


def _counted(found: Sequence[Sequence[Any]], text: str) -> str:
    shared = sum(is_shared for *_, is_shared in found)
    nested = sum(is_nested and not is_shared for *_, is_nested, is_shared in found)
    parts = [f"{nested} nested"] * bool(nested) + [f"{shared} shared"] * bool(shared)
    return f"{text} ({', '.join(parts)})" if parts else text


def _said(offence: Sequence[Any]) -> str:
    node, op_type, evidence, confidence, owner, truth, record, *kinds = offence
    which = [kind for kind, holds in zip(("nested", "shared"), kinds, strict=True) if holds]
    about = f"`{node}` ({', '.join([op_type, *which])})"
    return f"{about}: `{owner}` by {evidence}, {confidence}; the {record} says `{truth}`"


def _renamed_line(names: Sequence[str], blind: Sequence[Mapping[str, Any]]) -> list[str]:
    nodes = sum(one["nodes"] for one in blind)

    def mean(figure: str) -> str:
        return _percent(sum(one["nodes"] * one[figure] for one in blind) / 100, nodes)

    return [
        *names,
        str(nodes),
        mean("exported"),
        mean("exact"),
        f"{sum(one['asides'] for one in blind)} of {sum(one['unsure'] for one in blind)}",
        mean("covered"),
        _percent(sum(one["right"] for one in blind), sum(one["known"] for one in blind)),
        _wrong(blind),
        _mixed([{"renamed": one} for one in blind], ["renamed"]),
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


PAGE = """# Strategies

{versions}; made by `benchmarks/strategies.py`.

A strategy is an exporter and the sources that are asked which module made a node, the strongest first.
`hx export --strategy NAME` takes one, `--strategy auto` the first that exports the model, in this order:

{about}

Take `dynamo` where it exports the model: it has the smaller graph, and an owner for every node from the exporter
itself. `htp` is for the models that it refuses. `fx_graph` needs a model that `torch.fx` can trace as a whole, which
few of transformers are. `usage_based` needs nothing but weights; read it as a first guess.

All models here are small ones with random weights, exported with static shapes; graphs without names with dynamic
axes too.

## What the columns mean

- *models*: how many are exported. Where one is refused, its line has the code, and the table of refusals the reason.
- *covered*: nodes about whose owner something is known, guesses by position included; the others are left to the root.
- *exact*: nodes whose owner is known with high confidence.
- *right*: nodes with the owner that the exporter's own record has for them, whatever their confidence. Neither this
  column nor the next judges strategies that ask this record first.
- *wrong, by the exporter*: nodes owned with high confidence by another call than the exporter's record has.
- *wrong, by the witness*: the same against a witness that knows no names: the graph is run in ONNX Runtime and the
  module in PyTorch, on equal inputs, and a node whose result one call alone computed is that call's. What the witness
  does not know for certain is left out. `htp` asks this witness second, and `fx_graph` one like it first, so there
  it is the exporter's column that is independent.
- *mixed layers*: nodes, of any confidence, given to one layer of a list while either record has a sibling of it, or to
  another run of the same module.
- *extractable*, *equal*: calls that can be cut out, and those of them that return what the module itself does.
- *time*: of export and attribution, as a multiple of a plain `torch.onnx.export` with the same exporter; medians of
  three runs on a busy machine. A plain export that fails is timed in the way in which `hx` then exports the model.

Two kinds of nodes are counted apart. *Nested*: of the two calls one lies in the other. The TorchScript exporter folds
a normalisation into the convolution before it and leaves that one's scope on the node; the values show that it
stands for both, and belongs to the call around them. *Shared*: made of constants and sizes alone, and read only
outside the module that it has by the exporter's record. The TorchScript exporter keeps one node of all that are equal, with the
scope of the first, and may fold away what read it there.

## All models

{summary}

Figures are low where there is nothing to know them by:

- `usage_based` is never certain, so nothing is exact. Nodes without weights have the owner that the nodes around them
  have in common, which is often too far up. A weight of a module that ran several times does not say which run it
  was, and of a weight that the exporter folded the parameter is not known. No values at the boundaries of calls are
  known either, so none can be cut out.
- `htp` and `fx_graph` are not certain of nodes that the exporter made on its own, without a scope: constants that it
  folded, and copies of equal weights. They belong to the nodes that they help, with medium confidence. `fx_graph` asks
  no scopes at all: what is said below of graphs without names holds for it too.
- `fx_graph` exports few models of transformers: their code asks tensors for their values and sizes, which a symbolic
  trace does not have.

## By model

{tables}

### Refusals

{refusals}

## Without names

Here every node and value of an exported graph is renamed, to `n1`, `v1` and so on, and all metadata is removed.
Owners, and the ports of calls, are found by values alone (sources `witness` and `dataflow`), and judged by the
exporter's record of the graph before. *Wrong* counts nodes with high confidence, *right* all of them.

What is not exact: literals, sizes and masks that several calls share, since TorchScript keeps one of those that are
equal; numbers made of sizes for which one call asked and which another one uses; masks that the model leaves out
while no exporter looks (with dynamic axes those are more); and nodes that hand on what they read, where nothing tells on
which side of a module's boundary they stand. *Asides* are literals, sizes, and what is computed from constants
alone. A third of a TorchScript graph is that.

{renamed}

## Nodes that are wrong with high confidence, or in a wrong layer

{offences}
"""
