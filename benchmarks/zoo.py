"""Every architecture in transformers: `uv run python benchmarks/zoo.py FOLDER [ARCH ...]`.

Each architecture is built small (`tiny:ARCH`), exported plainly and with hx, and every extractable call is cut out and
run beside its module, on inputs caught by PyTorch's own hooks. That is one step of a fleet (`judged`), whose run lies in the
folder: architectures that have a result are not run again; `--dynamic` needs a folder of its own. `--summary FILE` writes the table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
PACKAGES = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime")
Row = dict[str, Any]


def judged(task: Any) -> Row:
    """Examine the architecture that a fleet's task is about: the step of its run."""
    return look_at(task.model.removeprefix("tiny:"), dynamic=task.options["dynamic"])


def look_at(arch: str, *, dynamic: bool) -> Row:
    """Examine one architecture in this process and return its row."""
    from truth import examine, plain_export

    import hx
    from hx_tracer import ExportError, example_inputs, free_axes, input_paths

    try:
        module = hx.ModelSpec(f"tiny:{arch}").load().module
    except Exception as error:  # noqa: BLE001 - a model's own code raises anything; it is the result
        return {"stage": "build", "error": _line(error)}
    try:
        verdict = examine(module, None, dynamic=dynamic)
    except ExportError as error:
        kwargs = example_inputs(module).kwargs
        try:
            plain_export(module, (), kwargs, free_axes(input_paths(kwargs)) if dynamic else {})
        except Exception:  # noqa: BLE001 - the exporter raises anything
            return _with_remedy(arch, error, dynamic=dynamic)
        return {"stage": "hx", "error": f"a plain export succeeds; {error.message}"}
    except Exception as error:  # noqa: BLE001 - a defect of hx is a result here, with the place where it shows
        return {"stage": "hx", "error": _line(error), "trace": traceback.format_exc()[-2000:]}
    return _done(verdict)


def _with_remedy(arch: str, error: Any, *, dynamic: bool) -> Row:
    """Look again with the implementations that the error offers."""
    from truth import examine

    import hx

    row: Row = {"stage": "refused", "error": error.message}
    if not error.remedy:
        return row
    flags = " ".join(f"--{kind} {name}" for kind, name in error.remedy.items())
    try:
        module = hx.ModelSpec(f"tiny:{arch}", **error.remedy).load().module
        return {**row, **_done(examine(module, None, dynamic=dynamic)), "remedy": flags}
    except Exception as again:  # noqa: BLE001 - a defect: hx said that this would work
        return {"stage": "hx", "error": f"with {flags}: {_line(again)}", "trace": traceback.format_exc()[-2000:]}


def _done(verdict: Any) -> Row:
    return {"stage": "done", **vars(verdict), "problems": verdict.problems[:20], "problem_count": len(verdict.problems)}


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {text[0]}"[:300]


def run(archs: list[str], folder: Path, *, jobs: int, limit_s: float, dynamic: bool, again: bool) -> dict[str, Row]:
    """Look at architectures as a fleet, and return their rows."""
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    import hx
    from hx_fleet import RunFolder

    step = f"{Path(__file__).resolve()}:judged"
    models = [f"tiny:{arch}" for arch in archs] or ["tiny:*"]
    settings = {
        "models": models,
        "steps": [step],
        "options": {step: {"dynamic": dynamic}},
        "timeout_s": limit_s,
        "workers": jobs,
        "retries": 0,
    }
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        task = progress.add_task("zoo", total=None)

        def tell(text: str, done: int, total: int) -> None:
            progress.update(task, description=text, completed=done, total=total or None)

        hx.fleet(settings, folder, only="failed" if again else None, progress=tell)
    rows = read(RunFolder(folder))
    return dict(sorted(rows.items()))


def read(folder: Any) -> dict[str, Row]:
    """Return the rows of a run by architecture; of a process that was ended, why."""
    rows: dict[str, Row] = {}
    for path in sorted((folder.path / "results").glob("*.json")):
        result = folder.read(path.stem)
        (step,) = result.steps
        ended = {"stage": "timeout" if step.kind == "timeout" else "crash", "error": step.cause}
        row = json.loads(step.facts) if step.status == "passed" else ended
        arch = result.model.removeprefix("tiny:")
        rows[arch] = {"arch": arch, "seconds": step.seconds, **row}
    return rows


def is_clean(row: Row) -> bool:
    """Say whether everything that hx promises of an exported model was seen to hold."""
    return (
        row["stage"] == "done"
        and not row["problem_count"]
        and row["difference"] is None
        and row["covered_percent"] == 100
        and row["extracted"] == row["statuses"].get("extractable", 0)
    )


def summary(rows: dict[str, Row], *, dynamic: bool) -> str:
    """Return the Markdown page of a run."""
    done = [row for row in rows.values() if row["stage"] == "done"]
    stages = Counter(row["stage"] for row in rows.values())
    extractable = sum(row["statuses"].get("extractable", 0) for row in done)
    statuses: Counter[str] = Counter()
    for row in done:
        statuses.update(row["statuses"])
    exact = sum(row["nodes"] * row["exact_percent"] for row in done) / max(1, sum(row["nodes"] for row in done))
    facts = {
        "architectures": len(rows),
        "built and run": len(rows) - stages["build"],
        "exported plainly": sum(not row["notes"] and not row.get("remedy") for row in done),
        "exported by hx": len(done),
        "of these after a refusal, with the option that hx offers": sum("remedy" in row for row in done),
        "refused by the exporter": stages["refused"],
        "failed in hx": stages["hx"],
        "over the time limit, or killed": stages["timeout"] + stages["crash"],
        "graph as a plain export's": sum(row["difference"] is None and not row["notes"] for row in done),
        "nodes": sum(row["nodes"] for row in done),
        "nodes with an owner": f"{min((row['covered_percent'] for row in done), default=0):g} % in the worst model",
        "nodes owned exactly": f"{exact:.2f} %; {min((row['exact_percent'] for row in done), default=0):g} % in the worst model",
        "calls by status": ", ".join(f"{count} {name}" for name, count in statuses.most_common()),
        "extractable calls equal to PyTorch": f"{sum(row['extracted'] for row in done)} of {extractable}",
        "architectures compared at the export's sizes, since PyTorch refuses others": ", ".join(
            row["arch"] for row in done if row.get("unseen_sizes_refused")
        )
        or "none",
        "of these but for an order that topk leaves open": sum(len(row.get("reordered", ())) for row in done),
        "architectures without any problem": sum(map(is_clean, rows.values())),
    }
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    axes = "batch and length dynamic, compared at sizes that the export never saw" if dynamic else "static shapes"
    parts = [f"# Zoo\n\nEvery architecture in transformers' model mapping as `tiny:ARCH`, {axes}. {versions}.\n"]
    parts.append(_table(("what", "count"), [(name, str(value)) for name, value in facts.items()]))
    parts.append("## Why calls are not extractable\n")
    reasons: Counter[str] = Counter()
    for row in done:
        reasons.update(row["reasons"])
    parts.append(_table(("calls", "reason"), [(str(n), text) for text, n in reasons.most_common()]))
    parts.append("## Problems\n")
    problems = [
        (
            row["arch"],
            "; ".join(filter(None, [row["difference"], *row["problems"][:3]])) or f"{row['covered_percent']} % owned",
        )
        for row in done
        if not is_clean(row)
    ]
    problems += [(row["arch"], row["error"]) for row in rows.values() if row["stage"] in ("hx", "crash", "timeout")]
    parts.append(_table(("architecture", "problem"), problems))
    for stage, title in (("refused", "Refused by the exporter"), ("build", "Not built or not run")):
        parts.append(f"## {title}\n")
        causes: dict[str, list[str]] = {}
        for row in rows.values():
            if row["stage"] == stage:
                causes.setdefault(_general(row["error"]), []).append(row["arch"])
        ordered = sorted(causes.items(), key=lambda item: -len(item[1]))
        parts.append(_table(("cause", "architectures"), [(text, ", ".join(archs)) for text, archs in ordered]))
    parts.append("## Time of each\n")
    parts.append(
        "Seconds of one of two workers: it is built, exported plainly and by hx, and every call is cut out and run.\n"
    )
    times = [(name, str(row.get("nodes", "")), f"{row['seconds']:.1f}") for name, row in rows.items()]
    parts.append(_table(("architecture", "nodes", "seconds"), times))
    return "\n".join(parts)


def _general(text: str) -> str:
    return re.sub(r"\d+", "N", text)[:160]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows] if rows else [("none",), ("---",)]
    return (
        "\n".join(f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in line)} |" for line in lines)
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("archs", nargs="*", help="default: all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--dynamic", action="store_true")
    parser.add_argument("--again", action="store_true", help="run those again whose process was ended")
    parser.add_argument("--summary", type=Path)
    options = parser.parse_args()
    limits = {"jobs": options.jobs, "limit_s": options.limit}
    rows = run(options.archs, options.folder, **limits, dynamic=options.dynamic, again=options.again)
    if options.summary:
        options.summary.write_text(summary(rows, dynamic=options.dynamic))


if __name__ == "__main__":
    main()
