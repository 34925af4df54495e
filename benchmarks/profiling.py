"""What `hx profile` keeps and costs: `uv run python benchmarks/profiling.py [conserve|overhead|planted]`.

Conserve: twelve models at each level of optimisation; the time of all kernels against the sum over modules and what is
unattributed. Overhead: the same runs under ONNX Runtime's profiler alone, interleaved. Planted: one MLP of twelve is made
wider, and must be the slowest. Each part goes to stdout and replaces its own section of
docs/benchmarks/profiling.md.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
from measuring import HERE, MODELS, Row, machine, table

import hx
import hx_profiler
from hx_projector import relink

SPECS = [
    "tiny:bert",
    "tiny:gpt2",
    "tiny:llama",
    "tiny:albert",
    "tiny:vit",
    "tiny:resnet",
    "tiny:convnext",
    "tiny:whisper",
    "tiny:mamba",
    "tiny:t5",
    f"{HERE / 'factories.py'}:lstm",
    f"{HERE / 'factories.py'}:cnn",
]
PLANTED = """
import torch
from torch import nn
class Block(nn.Module):
    def __init__(self, wide):
        super().__init__()
        self.norm = nn.LayerNorm(128)
        self.mlp = nn.Sequential(nn.Linear(128, wide), nn.GELU(), nn.Linear(wide, 128))
    def forward(self, x):
        return x + self.mlp(self.norm(x))
class Net(nn.Module):
    def __init__(self, planted):
        super().__init__()
        self.blocks = nn.ModuleList(Block(2048 if n == planted else 512) for n in range(12))
    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""


def exported(spec: str, target: Path) -> hx.Hierarchy:
    """Export a model and open its file."""
    hx.export(spec, f=target, verify=False)
    return hx.load(target)


def profiled(model: hx.Hierarchy, level: str) -> hx.Profile:
    """Run a model, and attribute its time."""
    return hx.profile(model, optimization=level, runs=10, threads=1)


def bench_conserve(folder: Path) -> str:
    """Sums at every level, of twelve models."""
    rows: list[Row] = []
    for spec in SPECS:
        name = spec.rpartition(":")[2]
        model = exported(spec, folder / f"{name}.onnx")
        for level in hx_profiler.LEVELS:
            profile = profiled(model, level)
            modules = sum(call.self_us for call in profile.calls)
            equal = modules + profile.unattributed_us == profile.kernels_us
            rows.append(
                (
                    name,
                    level,
                    str(len(profile.kernels)),
                    str(profile.kernels_us),
                    str(modules),
                    f"{profile.unattributed_us} ({len(profile.unattributed())})",
                    "yes" if equal else "NO",
                    str(sum(len(kernel.covers) > 1 for kernel in profile.kernels)),
                    f"{100 * sum(call.spanning_us for call in profile.calls) / profile.kernels_us:.1f}",
                )
            )
            print(*rows[-1], flush=True)
    head = (
        "model",
        "optimization",
        "kernels",
        "their time, us",
        "modules, us",
        "unattributed, us (kernels)",
        "equal",
        "spanning kernels",
        "their share, %",
    )
    return table(head, rows)


def bench_overhead(folder: Path) -> str:
    """Wall time of the same runs with ONNX Runtime's profiler alone and with hx."""
    (folder / "models.py").write_text(MODELS)
    models = [
        (exported(f"{folder / 'models.py'}:gpt2_small", folder / "gpt2_small.onnx"), 3),
        (exported("tiny:bert", folder / "tiny_bert.onnx"), 25),
    ]
    rows: list[Row] = []
    for model, repeat in models:
        feeds = model.example_inputs()

        def plain(place: Path, model: hx.Hierarchy = model, feeds: dict[str, Any] = feeds) -> None:
            options = ort.SessionOptions()
            options.enable_profiling = True
            options.profile_file_prefix = str(place / "profile")
            options.log_severity_level = 4
            session = ort.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])
            for _ in range(23):
                session.run(None, feeds)
            session.end_profiling()

        def ours(place: Path, model: hx.Hierarchy = model, feeds: dict[str, Any] = feeds) -> hx_profiler.Execution:
            return hx_profiler.execute(model.path, feeds, place)

        plain_s, running_s, hx_s = interleaved(plain, ours, repeat)
        with tempfile.TemporaryDirectory() as place:
            execution = hx_profiler.execute(model.path, feeds, Path(place))
            start = time.perf_counter()
            sidecar = relink(execution.executed, model.model, model.sidecar, file="executed.onnx")
            relinked = time.perf_counter()
            hx_profiler.attribute(execution.trace, execution.executed, sidecar, model="model")
            attributed = time.perf_counter()
        rows.append(
            (
                model.path.stem,
                f"{plain_s:.3f} s",
                f"{running_s:.3f} s",
                f"{running_s / plain_s:.3f}",
                f"{1000 * (hx_s - running_s):.0f} ms",
                f"{1000 * (relinked - start):.0f} ms",
                f"{1000 * (attributed - relinked):.0f} ms",
            )
        )
        print(*rows[-1], flush=True)
    head = (
        "model, 23 runs",
        "ONNX Runtime's profiler alone",
        "the same with hx",
        "ratio, <= 1.1",
        "once: reading model and profile",
        "once: relinking",
        "once: attributing",
    )
    return table(head, rows)


def interleaved(
    plain: Callable[[Path], None], ours: Callable[[Path], hx_profiler.Execution], repeat: int
) -> tuple[float, float, float]:
    """Return median seconds, run in turns: plain; hx from making the session to the end of its profile; hx in all."""
    seconds: tuple[list[float], list[float], list[float]] = ([], [], [])
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as place:
            start = time.perf_counter()
            plain(Path(place))
            seconds[0].append(time.perf_counter() - start)
        with tempfile.TemporaryDirectory() as place:
            start = time.perf_counter()
            seconds[1].append(ours(Path(place)).running_s)
            seconds[2].append(time.perf_counter() - start)
    one, two, three = map(statistics.median, seconds)
    return one, two, three


def bench_planted(folder: Path) -> str:
    """The widened MLP of twelve, at each place and level, among the modules by their own time."""
    found = 0
    wrong: list[str] = []
    for planted in (0, 5, 11):
        source = folder / f"planted{planted}.py"
        source.write_text(
            f"{PLANTED}\ndef net():\n    torch.manual_seed(0)\n    return Net({planted}), {{'x': torch.randn(8, 32, 128)}}\n"
        )
        model = exported(f"{source}:net", folder / f"planted{planted}.onnx")
        for level in hx_profiler.LEVELS:
            first = hx_profiler.slowest(profiled(model, level))[0].fqn
            found += first.startswith(f"blocks.{planted}.mlp")
            wrong += [] if first.startswith(f"blocks.{planted}.mlp") else [f"{planted} at {level}: {first}"]
    return f"A planted slow MLP of twelve was first by own time in {found} of 12 profiles. {'; '.join(wrong)}".rstrip()


BENCHMARKS = {
    "conserve": ("Conservation", bench_conserve),
    "overhead": ("Overhead", bench_overhead),
    "planted": ("Planted", bench_planted),
}


def main() -> None:
    page = HERE.parent / "docs" / "benchmarks" / "profiling.md"
    old = page.read_text() if page.exists() else ""
    parts = {text.partition("\n")[0]: text.partition("\n")[2].strip() for text in old.split("\n## ")[1:]}
    for name in sys.argv[1:] or list(BENCHMARKS):
        title, run = BENCHMARKS[name]
        with tempfile.TemporaryDirectory() as folder:
            parts[title] = f"{machine()}\n\n{run(Path(folder))}"
        print(f"## {title}\n\n{parts[title]}", flush=True)
        sections = [f"## {title}\n\n{parts[title]}\n" for title, _ in BENCHMARKS.values() if title in parts]
        page.write_text("\n".join(["# Profiling\n\nWritten by `benchmarks/profiling.py`.\n", *sections]))


if __name__ == "__main__":
    main()
