"""Whole models against PyTorch and plain exports: `uv run python benchmarks/models.py [SPEC ...]`.

Each model is exported static and dynamic; every extractable call is cut out and run beside the module itself (with
dynamic axes at a batch and length that the export never saw). The table goes to stdout and docs/benchmarks/models.md.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ARCHITECTURES = [
    "bert",
    "gpt2",
    "llama",
    "albert",
    "distilbert",
    "roberta",
    "vit",
    "deit",
    "resnet",
    "convnext",
    "clip",
    "whisper",
    "bart",
    "wav2vec2",
]
FACTORIES = ["gru", "lstm", "mlp", "cnn"]
HEAD = "| model | axes | nodes | exact % | owned % | graph as plain | extractable | equal | worst error | others |"


def row(spec: str, mode: str) -> str:
    """Examine one model and return its line of the table."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from truth import examine

    import hx

    loaded = hx.ModelSpec(spec).load()
    verdict = examine(loaded.module, loaded.example, dynamic=mode == "dynamic")
    others = ", ".join(f"{n} {s}" for s, n in sorted(verdict.statuses.items()) if s != "extractable")
    same = "yes" if verdict.difference is None and not verdict.notes else (verdict.difference or "plain fails")
    cells = (
        spec.rpartition(":")[2],
        mode,
        verdict.nodes,
        f"{verdict.exact_percent:g}",
        f"{verdict.covered_percent:g}",
        same,
        verdict.statuses.get("extractable", 0),
        verdict.extracted,
        f"{verdict.worst:.1g}",
        others,
    )
    for problem in verdict.problems:
        print(problem, file=sys.stderr)
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--row":
        print("ROW", row(sys.argv[2], sys.argv[3]))
        return
    factories = [f"{HERE / 'factories.py'}:{name}" for name in FACTORIES]
    specs = sys.argv[1:] or [*(f"tiny:{name}" for name in ARCHITECTURES), *factories]
    lines = [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    for spec in specs:
        for mode in ("static", "dynamic"):
            done = subprocess.run(
                [sys.executable, __file__, "--row", spec, mode], capture_output=True, text=True, check=False
            )
            found = [text for text in done.stdout.splitlines() if text.startswith("ROW ")]
            last = (done.stderr.strip().splitlines() or [""])[-1]
            name = spec.rpartition(":")[2]
            lines.append(found[0].removeprefix("ROW ") if found else f"| {name} | {mode} | failed: {last} |")
            print(lines[-1], flush=True)
    if len(sys.argv) == 1:
        packages = ("torch", "transformers", "onnx", "onnx-ir", "onnxruntime")
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
        (HERE.parent / "docs" / "benchmarks" / "models.md").write_text(
            f"# Models\n\n{versions}.\n\n" + "\n".join(lines) + "\n"
        )


if __name__ == "__main__":
    main()
