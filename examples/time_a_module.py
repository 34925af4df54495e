"""Time the module calls that a pattern names: `python examples/time_a_module.py bert.onnx /BertModel/.../BertSelfAttention`.

It imports hx_extractor and numpy: no torch, no transformers. Each call is cut out in memory and run by ONNX Runtime,
without graph optimisation, on what it got in the exported model for the recorded inputs. Nothing is written.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import hx_extractor

WARM_UP_RUNS = 3


def timed_us(run: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return the median of the wall time of `run`, and its interquartile range, both in microseconds."""
    for _ in range(WARM_UP_RUNS):
        run()
    durations_ns: list[int] = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        run()
        durations_ns.append(time.perf_counter_ns() - start)
    low, median, high = np.percentile(durations_ns, [25, 50, 75]) / 1000
    return float(median), float(high - low)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the module calls that a pattern names.")
    parser.add_argument("model", type=Path, help="an ONNX file that `hx export` wrote, its sidecar beside it")
    parser.add_argument("pattern", help="a tag, an fqn, a class name, or a pattern of them")
    parser.add_argument("--runs", type=int, default=50, help="timed runs of each call (default 50)")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")

    model = hx_extractor.load(options.model)
    print(f"{'median us':>10} {'spread us':>10} {'nodes':>6}  call")
    for call in model.calls(options.pattern):
        if call.status != "extractable":
            print(f"{'-':>10} {'-':>10} {'-':>6}  {call.tag}  {call.status}")
            continue
        part = call.extract()
        feeds = part.example_inputs()
        median_us, spread_us = timed_us(lambda part=part, feeds=feeds: part.run(feeds), options.runs)
        print(f"{median_us:>10.1f} {spread_us:>10.1f} {len(part.model.graph):>6}  {part.tag}")


if __name__ == "__main__":
    main()
