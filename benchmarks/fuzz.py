"""Break sidecars and models in many ways, run commands on them, and print what ends badly.

uv run python benchmarks/fuzz.py --first 0 --count 20000
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

from fuzzing import bases, run_mutants


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="seed of the first mutant")
    parser.add_argument("--count", type=int, default=1000, help="mutants: half of sidecars, half of models")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        exports, work = bases(Path(folder) / "bases"), Path(folder) / "work"
        work.mkdir()
        started = time.time()
        seeds = range(options.first, options.first + options.count)
        failures = run_mutants(exports, work, seeds, tell=lambda text: print(text, flush=True))
    print(f"{len(seeds)} mutants, 2 commands each: {len(failures)} ended badly, {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
