"""MACs by `hx analyze` beside PyTorch's own flop counter, module by module: `uv run python benchmarks/macs.py`.

Both count what the same example inputs need. PyTorch runs with the `math` implementation of attention: its counter
(2.13) knows no flops of the fused kernel that a CPU takes otherwise. The table goes to stdout and benchmarks/macs.md.
"""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from typing import NamedTuple

import torch
from measuring import HERE, machine, table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hx_projector import call_costs, model_cost, project
from hx_tracer import example_inputs, export, load_model

ARCHITECTURES = ("bert", "vit", "gpt2", "resnet", "whisper")
WITHIN = 0.02


class Module(NamedTuple):
    """Both counts of one module, all its calls together."""

    fqn: str
    status: str
    onnx: int
    pytorch: int

    @property
    def differs(self) -> bool:
        return abs(self.onnx - self.pytorch) > WITHIN * max(self.pytorch, self.onnx)


def counted(arch: str) -> list[Module]:
    """Export a small model and count both sides."""
    loaded = load_model(f"tiny:{arch}")
    inputs = example_inputs(loaded.module, example=loaded.example)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loaded.module(*inputs.args, **inputs.kwargs)
    root = type(loaded.module).__name__
    flops = {name: sum(by_operator.values()) for name, by_operator in counter.get_flop_counts().items()}
    exported = export(loaded.module, inputs.kwargs, args=inputs.args)
    model = exported.program.model
    sidecar = project(model, exported.context, file=f"{arch}.onnx")
    costs = call_costs(sidecar, model_cost(model, {}, {}))
    macs: Counter[str] = Counter()
    status: dict[str, str] = {}
    for call, cost in zip(sidecar.calls, costs, strict=True):
        fqn = sidecar.module_of(call).fqn
        macs[fqn] += cost.total.macs
        status[fqn] = call.status
    return [
        Module(fqn, status[fqn], macs[fqn], flops.get(f"{root}.{fqn}" if fqn else root, 0) // 2)
        for fqn in status
    ]


def main() -> None:
    """Print the table and write it."""
    rows: list[tuple[str, ...]] = []
    for arch in ARCHITECTURES:
        modules = counted(arch)
        computing = [module for module in modules if module.onnx or module.pytorch]
        differing = [module for module in computing if module.differs]
        fused = [module for module in differing if module.status == "fused"]
        whole = modules[0]
        rows.append(
            (
                f"tiny:{arch}",
                f"{whole.onnx:,}",
                f"{whole.pytorch:,}",
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
    (HERE / "macs.md").write_text(text)


if __name__ == "__main__":
    main()
