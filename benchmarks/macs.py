"""MACs by `hx analyze` beside PyTorch's own flop counter, module by module: `uv run python benchmarks/macs.py`.

Both count what the same example inputs need. PyTorch runs with the `math` implementation of attention: its counter
(2.13) knows no flops of the fused kernel that a CPU takes otherwise. The table goes to stdout and docs/benchmarks/macs.md.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from measuring import HERE, machine, table

import hx
from hx_tracer import example_inputs

sys.path.insert(0, str(HERE.parent / "tests"))
from counting import Module, counted

ARCHITECTURES = ("bert", "vit", "gpt2", "resnet", "whisper")
WITHIN = 0.02


def differs(module: Module) -> bool:
    """Say whether the two counts of a module are further apart than `WITHIN`."""
    return abs(module.onnx - module.pytorch) > WITHIN * max(module.pytorch, module.onnx)


def main() -> None:
    """Print the table and write it."""
    rows: list[tuple[str, ...]] = []
    for arch in ARCHITECTURES:
        module = hx.ModelSpec(f"tiny:{arch}").load().module
        modules = counted(module, example_inputs(module).kwargs)
        computing = [module for module in modules if module.onnx or module.pytorch]
        differing = [module for module in computing if differs(module)]
        fused = [module for module in differing if module.status == "fused"]
        whole = modules[0]
        rows.append(
            (
                f"tiny:{arch}",
                f"{whole.onnx:,}",
                f"{whole.pytorch:,.0f}",
                str(len(computing)),
                str(len(computing) - len(differing)),
                str(len(fused)),
                ", ".join(module.fqn for module in differing if module.status != "fused") or "none",
            )
        )
    text = f"""# MACs

{machine()[:-1]}, onnx-tool {version("onnx-tool")}. `benchmarks/macs.py` makes this page.

Multiply-accumulates that `hx analyze` counts, beside half the flops that `torch.utils.flop_counter` counts in the same module.
`modules` are those that compute any, the root included; `equal` are within {WITHIN:.0%}. `fused` differ because the exporter
merged the module with a neighbour: a convolution with the batch normalisation behind it is one node of the module around
both, and there the counts are equal again.

{table(("model", "hx", "PyTorch", "modules", "equal", "fused", "other differences"), rows)}
"""
    print(text)
    (HERE.parent / "docs" / "benchmarks" / "macs.md").write_text(text)


if __name__ == "__main__":
    main()
