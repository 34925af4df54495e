"""What the export of very many modules, calls and levels costs: `uv run python benchmarks/modules.py [SHAPE=COUNT...]`.

*many*: so many linear layers, one behind the other. *repeated*: one linear layer, called so often. *nested*: so many modules, each
in the one before. Every row is two processes, plain `torch.onnx.export` and `hx.export` without a comparison of outputs; compared is
the time of the processor, the system's included, of all that a process does.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measuring import Row, machine, table
from nodes import used

ROWS = (("many", 2_000), ("many", 4_000), ("repeated", 1_000), ("repeated", 10_000), ("nested", 50), ("nested", 500))
MODEL = """
import sys
import torch
class Net(torch.nn.Module):
    def __init__(self, shape, count):
        super().__init__()
        self.shape, self.count = shape, count
        self.inner = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(count if shape == "many" else 1))
    def forward(self, x):
        for index in range(self.count):
            x = self.inner[index if self.shape == "many" else 0](x)
        return x
class Nested(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.own, self.inner = torch.nn.Linear(2, 2), inner
    def forward(self, x):
        return self.own(x) if self.inner is None else self.inner(self.own(x))
shape, count = sys.argv[1], int(sys.argv[2])
sys.setrecursionlimit(20_000)
if shape == "nested":
    model = None
    for _ in range(count):
        model = Nested(model)
else:
    model = Net(shape, count)
model, inputs = model.eval(), (torch.ones(2, 2),)
"""
PLAIN = """
torch.onnx.export(model, inputs, dynamo=True, verbose=False).save("plain.onnx")
"""
HX = """
import hx
hx.export(model, inputs, "watched.onnx", verify=False, overwrite=True)
"""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="as many=20000, repeated=10000, nested=500")
    asked = [(name, int(count)) for name, _, count in (row.partition("=") for row in parser.parse_args().rows)]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for shape, count in asked or ROWS:
            plain, watched = (used(["-c", MODEL + run, shape, str(count)], Path(name)) for run in (PLAIN, HX))
            seconds = (f"{plain.seconds:.0f} s", f"{watched.seconds:.0f} s", f"{watched.seconds / plain.seconds:.2f}")
            rows.append((shape, str(count), *seconds, f"{plain.peak_mb:.0f} MB", f"{watched.peak_mb:.0f} MB"))
            print(*rows[-1], sep=" | ", flush=True)
    head = ("shape", "modules, calls or levels", "plain", "hx", "hx / plain", "plain's peak", "hx's peak")
    print(table(head, rows), machine(), sep="\n\n")


if __name__ == "__main__":
    main()
