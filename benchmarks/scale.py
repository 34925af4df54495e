"""What a fleet costs by model: `uv run python benchmarks/scale.py [RUN...] [--summary docs/scale.md]`.

RUN is the folder of a `hx fleet` run that has ended. Processor seconds of each step are fitted, by least squares, to a constant, the nodes and
the parameters of the model; the fit of the first runs is tried on the last. Then what the driver itself does is timed on many results.

How well few models tell of many is tried on the seconds of all architectures in docs/zoo.md.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hx.records.fleet import FleetReport
from hx_fleet import RunFolder
from hx_fleet.results.dataset import write_dataset
from hx_fleet.results.page import html_page

MODELS, WORKERS = 100_000, 200
RESULTS = 1000
DRAWS = 200
"""Samples of each size."""
Row = dict[str, Any]


def passed(folder: Path) -> dict[str, dict[str, Row]]:
    """Return the rows of models of which the first step passed, by model and step."""
    found: dict[str, dict[str, Row]] = {}
    for row in pq.read_table(folder / "steps.parquet").to_pylist():
        if row["status"] in ("passed", "wrong"):
            found.setdefault(row["model"], {})[row["step"]] = row
    return {model: rows for model, rows in found.items() if "export" in rows}


def fit(models: Sequence[dict[str, Row]], step: str) -> tuple[np.ndarray, float, int]:
    """Return seconds for a model, 1,000 nodes and a million parameters, and how much of the variance they explain."""
    rows = [rows for rows in models if step in rows]
    known = np.array([terms(model) for model in rows])
    seconds = np.array([model[step]["cpu_seconds"] for model in rows])
    found, *_ = np.linalg.lstsq(known, seconds, rcond=None)
    spread = float(((seconds - seconds.mean()) ** 2).sum()) or 1.0
    return found, 1 - float(((seconds - known @ found) ** 2).sum()) / spread, len(rows)


def terms(model: dict[str, Row]) -> tuple[float, float, float]:
    """Return what seconds depend on."""
    return 1.0, model["export"]["nodes"] / 1e3, model["export"]["parameters"] / 1e6


def driver(folder: Path) -> tuple[float, float]:
    """Return processor seconds and bytes that the driver spends on one result when it writes data set and page."""
    run = RunFolder(folder)
    results = [result for path in (folder / "results").glob("*.json") if (result := run.read(path.stem))]
    size = sum(path.stat().st_size for path in (folder / "results").glob("*.json")) / len(results)
    many = [results[place % len(results)] for place in range(RESULTS)]
    report = FleetReport(output="x", models=RESULTS, finished=RESULTS, resumed=0, statuses={}, failures=[], seconds=0)
    began = time.process_time()
    for result in many:
        type(result).model_validate_json(
            result.model_dump_json()
        )  # as often as the driver reads it, each time from JSON
    reading = time.process_time() - began
    began = time.process_time()
    with tempfile.TemporaryDirectory() as place:
        write_dataset(many, Path(place))
        html_page(report, many, [row.step for row in many[0].steps])
    return (time.process_time() - began + 4 * reading) / RESULTS, size


def artefact_bytes(folder: Path) -> float:
    """Return bytes of artefacts and logs by model."""
    paths = (
        Path(place) / name
        for part in ("artefacts", "logs")
        for place, _, names in os.walk(folder / part)
        for name in names
    )
    return sum(path.stat().st_size for path in paths) / len(list((folder / "results").glob("*.json")))


def summary(folders: Sequence[Path]) -> str:
    """Return the page."""
    *first, last = [list(passed(folder).values()) for folder in folders]
    models = [model for run in first for model in run] or last
    steps = list(last[0])
    lines = [
        "| step | models | seconds a model | and for 1,000 nodes | and for 1 M parameters | explained | on the last run, of what it took |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    total = np.zeros(3)
    for step in steps:
        found, explained, count = fit(models, step)
        total += found
        took = sum(model[step]["cpu_seconds"] for model in last if step in model)
        said = sum(float(np.dot(found, terms(model))) for model in last if step in model)
        lines.append(
            f"| {step} | {count} | {found[0]:.2f} | {found[1]:.2f} | {found[2]:.3f} | {100 * explained:.0f} % | {100 * said / took:.0f} % |"
        )
    mean = np.mean([terms(model) for model in last], axis=0)
    seconds = float(np.mean([sum(row["cpu_seconds"] for row in model.values()) for model in last]))
    driver_s, result_bytes = driver(folders[-1])
    kept = artefact_bytes(folders[-1])
    hours = seconds * MODELS / WORKERS / 3600
    facts = [
        f"A model of the last run has {1000 * mean[1]:.0f} nodes and {mean[2]:.2f} M parameters on average, and takes {seconds:.1f} processor seconds in all steps.",
        f"{MODELS:,} such models are {seconds * MODELS / 3600:,.0f} processor hours: {hours:.1f} hours on {WORKERS} workers.",
        f"The driver spends {1000 * driver_s:.1f} ms of processor time on a result when it writes data set and page: {driver_s * MODELS / 60:.0f} minutes for all, "
        f"{100 * driver_s * WORKERS / seconds:.1f} % of the wall time of the workers.",
        f"A result is {result_bytes / 1000:.0f} kB, artefacts and logs {kept / 1e6:.2f} MB a model: {(result_bytes + kept) * MODELS / 1e12:.2f} TB in all.",
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(f"* {fact}" for fact in facts) + "\n"


def samples(page: Path) -> str:
    """Return how well a fit to a few architectures of a zoo's page tells what the others take."""
    listed = re.findall(r"^\| \S+ \| (\d*) \| ([\d.]+) \|$", page.read_text(), re.MULTILINE)
    seconds = np.sort([float(took) for _, took in listed])[::-1]
    known = np.array([(1.0, int(nodes) / 1e3) for nodes, _ in listed if nodes])
    took = np.array([float(took) for nodes, took in listed if nodes])
    rng = np.random.default_rng(0)
    lines = [
        "| fitted to | seconds a model | and for 1,000 nodes | says of the others, of what they took |",
        "|---|---|---|---|",
    ]
    for count in (10, 100, len(took)):
        fits, shares = [], []
        for _ in range(DRAWS if count < len(took) else 1):
            drawn = rng.permutation(len(took))
            chosen, others = drawn[:count], drawn[count:] if count < len(took) else drawn
            fits.append(np.linalg.lstsq(known[chosen], took[chosen], rcond=None)[0])
            shares.append((known[others] @ fits[-1]).sum() / took[others].sum())
        low, high = np.percentile(shares, (5, 95))
        share = f"{low:.0%} to {high:.0%}" if count < len(took) else "all were fitted"
        lines.append(f"| {count} | {np.median(fits, axis=0)[0]:.1f} | {np.median(fits, axis=0)[1]:.0f} | {share} |")
    few, many = (seconds[: len(seconds) // part].sum() / seconds.sum() for part in (100, 10))
    hours = seconds.mean() * MODELS / WORKERS / 3600
    facts = [
        f"{len(seconds)} architectures took {seconds.mean():.1f} s of a worker on average, the one in the middle {np.median(seconds):.1f} s.",
        f"One in a hundred takes {few:.0%} of all the time, one in ten {many:.0%}.",
        f"{MODELS:,} such models would take {hours:.1f} hours on {WORKERS} workers.",
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(f"* {fact}" for fact in facts) + "\n"


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between two marks of a page."""
    before, _, rest = page.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end {name} -->")
    assert end
    page.write_text(f"{before}<!-- {name} -->\n\n{text}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--summary", type=Path, help="replace the measured parts of this page")
    options = parser.parse_args()
    parts = {"sampled": samples(Path(__file__).parents[1] / "docs" / "zoo.md")}
    if options.runs:
        parts["measured"] = summary(options.runs)
    for name, text in parts.items():
        print(text)
        if options.summary:
            put(options.summary, name, text)


if __name__ == "__main__":
    main()
