"""A fleet whose processes are killed all the time, beside one that is left alone: every result there once, none lost, all equal.

`uv run python benchmarks/fleet_kills.py FOLDER [--models N] [--every SECONDS] [--drivers N] [--ray]`: every so many seconds one process of
the run is killed (`SIGKILL`): one that runs a model, one that watches these, with `--ray` also one of Ray's workers; and so often
the driver itself, which is started again. `--ray` runs both on a cluster of two nodes on this machine. `-o FILE` writes the table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from hx.records.fleet import MEASURED

STEPS = ["export", "validate", "extract", "verify"]


def models(number: int) -> list[str]:
    """Return the first so many architectures of transformers, and each as often again with other steps' names where they are too few."""
    from hx_tracer import architectures

    return [f"tiny:{name}" for name in architectures()[:number]]


def write_run(folder: Path, number: int, workers: int, factory: str | None) -> Path:
    """Write the settings of the runs."""
    path = folder / "kills.toml"
    listed = models(number) if factory is None else [f"{factory}:m{place}" for place in range(number)]
    lines = [f"models = {json.dumps(listed)}", f"steps = {json.dumps(STEPS)}", f"workers = {workers}", "retries = 1000"]
    path.write_text("\n".join(lines) + "\n")
    return path


def start(run: Path, output: Path, address: str | None) -> subprocess.Popen[bytes]:
    """Start the driver."""
    command = [sys.executable, "-m", "hx_cli", "fleet", str(run), "-o", str(output), "-q"]
    command += ["--ray", address] if address else []
    log = output.with_suffix(".log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log)


def victims(output: Path) -> list[psutil.Process]:
    """Return the processes that work for a run, without its driver."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "hx_fleet.worker.fork_server" in words and str(output) in words:
            found.append(process)
            with suppress(psutil.NoSuchProcess):
                parent = process.parent()
                if parent is not None and " ".join(parent.cmdline()).startswith("ray::"):
                    found.append(parent)
    return found


def with_kills(run: Path, output: Path, address: str | None, every_s: float, drivers: int, total: int) -> Counter[str]:
    """Run it, killing; return what was killed."""
    chance, killed = random.Random(0), Counter[str]()
    driver = start(run, output, address)
    last = time.monotonic()
    while driver.poll() is None:
        time.sleep(0.2)
        done = len(list((output / "results").glob("*.json")))
        if killed["driver"] < drivers and done >= total * (killed["driver"] + 1) / (drivers + 1):
            driver.kill()
            driver.wait()
            killed["driver"] += 1
            driver = start(run, output, address)
        elif time.monotonic() - last > every_s:
            last = time.monotonic()
            targets = victims(output)
            if targets:
                victim = chance.choice(targets)
                try:
                    words = victim.cmdline()
                    kind = "Ray worker" if words[0].startswith("ray::") else "model" if is_forked(victim) else "server"
                    victim.send_signal(signal.SIGKILL)
                    killed[kind] += 1
                except (psutil.NoSuchProcess, IndexError):  # it ended meanwhile
                    continue
    if driver.returncode not in (0, 1):
        sys.exit(f"the driver ended with {driver.returncode}: {output.with_suffix('.log').read_text()}")
    return killed


def is_forked(process: psutil.Process) -> bool:
    """Say whether a process with a fork server's command line is one that a fork server forked."""
    parent = process.parent()
    return parent is not None and "hx_fleet.worker.fork_server" in parent.cmdline()


def compare(left: Path, right: Path) -> list[str]:
    """Return what differs between two runs aside from what is measured, and what is there more or less than once."""
    problems: list[str] = []
    for name in ("steps.parquet", "calls.parquet"):
        one, two = pq.read_table(left / name), pq.read_table(right / name)
        columns = [column for column in one.column_names if column not in MEASURED]
        problems += [
            f"{name}: {column}"
            for column in columns
            if one.num_rows != two.num_rows or not one[column].equals(two[column])
        ]
    for folder in (left, right):
        rows = pq.read_table(folder / "steps.parquet").to_pylist()
        counts = Counter((row["model"], row["step"]) for row in rows)
        problems += [f"{key} is there {count} times" for key, count in counts.items() if count != 1]
    if (left_over := list((right / "working").glob("*"))) != []:
        problems.append(f"left over: {left_over}")
    return problems


@contextmanager
def cluster(wanted: bool):
    """Yield the address of a Ray cluster of two nodes on this machine."""
    if not wanted:
        yield None
        return
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = (
        "0"  # under `uv run` Ray's workers would run `uv` in a copy of this folder
    )
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    try:
        yield made.address
    finally:
        made.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--factory", help="take m0, m1, ... of this file instead of architectures of transformers")
    parser.add_argument("--every", type=float, default=20, metavar="SECONDS")
    parser.add_argument("--drivers", type=int, default=2, metavar="N", help="how often the driver is killed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("-o", type=Path)
    options = parser.parse_args()
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run = write_run(folder, options.models, options.workers, options.factory and str(Path(options.factory).resolve()))
    with cluster(options.ray) as address:
        began = time.monotonic()
        start(run, folder / "alone", address).wait()
        alone_s = time.monotonic() - began
        began = time.monotonic()
        killed = with_kills(run, folder / "killed", address, options.every, options.drivers, options.models)
        killed_s = time.monotonic() - began
    problems = compare(folder / "alone", folder / "killed")
    rows = pq.read_table(folder / "killed" / "steps.parquet")
    statuses = Counter(zip(rows["step"].to_pylist(), rows["status"].to_pylist(), strict=True))
    attempts = Counter(row["attempts"] for row in rows.to_pylist() if row["step"] == STEPS[0])
    facts = {
        "engine": "Ray, a cluster of two nodes on one machine" if options.ray else "local",
        "models": str(options.models),
        "killed": ", ".join(f"{count} times a {kind}" for kind, count in sorted(killed.items())),
        "rows of steps": ", ".join(f"{count} {step} {status}" for (step, status), count in sorted(statuses.items())),
        "rows of calls": str(pq.read_metadata(folder / "killed" / "calls.parquet").num_rows),
        "attempts within one watching process": ", ".join(
            f"{count} models {number}" for number, count in sorted(attempts.items())
        ),
        "lost, there twice, or other than without kills": str(len(problems)),
        "seconds": f"{killed_s:.0f}, without kills {alone_s:.0f}",
    }
    text = "| what | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in facts.items())
    print(text)
    if options.o:
        options.o.write_text(f"# A fleet under kills\n\n`benchmarks/fleet_kills.py`\n\n{text}")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
