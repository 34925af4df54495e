"""A run as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

from hx.records.fleet import FleetReport, ModelResult
from hx_sidecar_schema import visible

ROWS = 2000
"""A page of more models or changes shows the first of them; the data set has all."""
STYLE = """
body { font: 14px system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 2em } th, td { padding: 2px 10px; text-align: left; vertical-align: top }
th { border-bottom: 1px solid #999 } .number { text-align: right } .passed { color: #18794e } .skipped { color: #777 }
.failed, .wrong { color: #c62828; font-weight: 600 }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } .passed { color: #4cc38a }
 .failed, .wrong { color: #ff6b6b } }
"""


def html_page(report: FleetReport, results: Iterable[ModelResult], steps: Sequence[str]) -> str:
    """Return a page that loads and runs nothing: how many models each step passed, failures by kind, changes, every model."""
    statuses = ("passed", "wrong", "failed", "skipped")
    counts = [(step, *(str(report.statuses[step].get(status, 0)) for status in statuses)) for step in report.statuses]
    failures = [(f.step, f.kind, f.code, str(len(f.models)), f.cause, f.log, _some(f.models)) for f in report.failures]
    changes = [(c.model, c.module, c.what, c.before, c.after) for c in report.changes[:ROWS]]
    models = [_model_row(result, steps) for result in islice(results, ROWS)]
    left = report.finished - len(models)
    parts = [
        f"<h1>{_text(report.output)}</h1><p>{_text(str(report))}</p>",
        _table(("step", *statuses), counts),
        _section(
            "Failures by kind", ("step", "kind", "code", "models", "cause", "log of the first", "which"), failures
        ),
        _section("Changes to the baseline", ("model", "module", "what", "before", "after"), changes),
        f"<h2>Models</h2>{_table(('model', *steps, 'seconds'), models)}",
        f"<p>and {left} more; see steps.parquet.</p>" if left else "",
    ]
    head = f'<meta charset="utf-8"><title>{_text(report.output)}</title><style>{STYLE}</style>'
    return f"<!doctype html>\n<html><head>{head}</head><body>\n" + "\n".join(filter(None, parts)) + "\n</body></html>\n"


def _model_row(result: ModelResult, steps: Sequence[str]) -> tuple[str, ...]:
    by_step = {row.step: row for row in result.steps}
    seconds = sum(row.seconds or 0 for row in result.steps)
    return (result.model, *(by_step[step].status if step in by_step else "" for step in steps), f"{seconds:.1f}")


def _some(models: Sequence[str]) -> str:
    return ", ".join(models[:10]) + (f" and {len(models) - 10} more" if len(models) > 10 else "")


def _section(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"<h2>{title}</h2>{_table(head, rows)}" if rows else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{_text(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _cell(text: str) -> str:
    kind = text if text in ("passed", "wrong", "failed", "skipped") else "number" if _is_number(text) else ""
    return f'<td class="{kind}">{_text(text)}</td>' if kind else f"<td>{_text(text)}</td>"


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _text(text: str) -> str:
    return escape(visible(text, None))
