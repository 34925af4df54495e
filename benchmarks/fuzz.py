"""Break sidecars and models in many ways, run commands on them, and count how they end.

PYTHONPATH=tests uv run python benchmarks/fuzz.py --count 20000 --page docs/benchmarks/fuzz.md

A process does some hundred mutants; one that dies or hangs in native code ends at that mutant, which is counted, and
another one goes on behind it.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib.metadata
import multiprocessing
import platform
import tempfile
import time
import warnings
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from fuzzing import LIMIT_S, Outcome, bases, run_mutants

IN_ONE_PROCESS = 250
PACKAGES = ("hx-onnx", "onnx", "onnx-ir", "onnxruntime", "torch", "protobuf", "pydantic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="seed of the first mutant")
    parser.add_argument("--count", type=int, default=1000, help="mutants: half of sidecars, half of models")
    parser.add_argument("--page", type=Path, help="write the table there")
    options = parser.parse_args()
    started = time.time()
    seeds = range(options.first, options.first + options.count)
    outcomes = every_outcome(seeds)
    text = page(outcomes, seeds)
    if options.page:
        options.page.write_text(text, encoding="utf-8")
    print(text)
    print(f"{time.time() - started:.0f} s")


def every_outcome(seeds: range) -> list[Outcome]:
    """Run all mutants in processes of their own, one after the other; tell failures as they come."""
    fork = multiprocessing.get_context("fork")
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        maker = multiprocessing.get_context("spawn").Process(target=bases, args=(folder / "bases",))
        maker.start()  # this process runs nothing, so that it has no threads and can be forked
        maker.join()
        exports = sorted((folder / "bases").iterdir())
        left = seeds
        while left:
            work = Path(tempfile.mkdtemp(dir=folder))
            chunk = left[:IN_ONE_PROCESS]
            results, sender = fork.Pipe(duplex=False)
            worker = fork.Process(target=_work, args=(exports, work, chunk, sender))
            worker.start()
            sender.close()
            seed, outcome = chunk.start, None
            with suppress(EOFError):  # the process has ended
                while True:
                    seed, outcome = results.recv()
                    found += [outcome] if outcome else []
                    if outcome and outcome.is_failure:
                        print(outcome, flush=True)
            worker.join()
            if worker.exitcode:
                found.append(Outcome(f"?:{seed}", "?", f"the process ended with {worker.exitcode}", 0.0))
                print(found[-1], flush=True)
                seed += 1
            left = range(seed, seeds.stop)
    return found


def _work(exports: list[Path], work: Path, seeds: range, sender: Connection) -> None:
    """Put `(seed, None)` before each mutant, `(seed, outcome)` behind each command, and the seed to go on with at the end."""
    warnings.simplefilter("ignore")
    for seed in seeds:
        faulthandler.dump_traceback_later(3 * LIMIT_S, exit=True)
        sender.send((seed, None))
        for outcome in run_mutants(exports, work, range(seed, seed + 1)):
            sender.send((seed, outcome))
    faulthandler.cancel_dump_traceback_later()
    sender.send((seeds.stop, None))


def page(outcomes: list[Outcome], seeds: range) -> str:
    """Return a table of how the commands ended."""
    kinds = {0: "sidecar", 1: "model"}
    ended: Counter[tuple[str, str, object]] = Counter()
    for one in outcomes:
        kind = kinds[int(one.seed.partition(":")[2]) % 2]
        ended[kind, one.command.split()[0], "other" if one.is_failure else one.code] += 1
    rows = sorted({(kind, verb) for kind, verb, _ in ended}, key=lambda row: (row[0] != "sidecar", row[1]))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    lines = [
        "# Broken sidecars and models",
        "",
        f"{len(seeds)} mutants (seeds {seeds.start} to {seeds.stop - 1}), every second one of a sidecar, the others of a model:",
        "one to five fields changed, removed, doubled or exchanged, sometimes bytes. Two commands each. Made by",
        "`benchmarks/fuzz.py`; `tests/test_mutants.py` runs the first two hundred.",
        "",
        f"{versions}, Python {platform.python_version()}.",
        "",
        f"**{sum(one.is_failure for one in outcomes)}** commands ended with something else than 0, 1 or 2 with a code,"
        f" or took more than {LIMIT_S} s; the longest took {max(one.seconds for one in outcomes):.1f} s.",
        "",
        "| broken | command | 0 | 1 | 2 with a code | other |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for kind, verb in rows:
        counts = [str(ended[kind, verb, code]) for code in (0, 1, 2, "other")]
        lines.append(f"| {kind} | {verb} | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
