"""What `hx view` writes of twenty models, loaded by Model Explorer and judged: `uv run python benchmarks/viewers.py [MODEL ...]`.

Models are named as in the table, by default all; a relinked one after the one that it is made of. Model Explorer is installed into an
environment of its own, which needs a registry. The table goes to stdout and docs/benchmarks/viewers.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import torch
from measuring import HERE, machine, table

import hx

sys.path.insert(0, str(HERE.parent / "scripts" / "viewers"))
from judging import judge
from models import MODELS, ORIGINALS, exported
from tools import PACKAGES, Tools, install


class Looping(torch.nn.Module):
    """A module called in the body of a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.head = torch.nn.Linear(8, 8), torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a row for each row of x."""
        count = torch.tensor(0)
        done = torch.while_loop(lambda i, x: i < 4, lambda i, x: (i + 1, torch.tanh(self.step(x))), (count, x))
        return self.head(done[1])


TINY = ("bert", "gpt2", "llama", "t5", "mixtral", "vit", "resnet", "convnext", "swin", "clip", "wav2vec2", "whisper")
MAKERS = {
    **{f"tiny:{name}": exported(f"tiny:{name}") for name in TINY},
    **{name: exported(f"{HERE / 'factories.py'}:{name}") for name in ("gru", "lstm")},
    "tiny:mixtral": exported(hx.ModelSpec("tiny:mixtral", experts="batched_mm")),
    "looping": exported(Looping().eval(), torch.randn(2, 8)),
    **{name: maker for name, maker in MODELS.items() if name != "bert"},
}
KINDS = {
    "tiny:bert": "text",
    "tiny:gpt2": "text",
    "tiny:llama": "text",
    "tiny:t5": "text, encoder and decoder",
    "tiny:mixtral": "text, experts",
    "tiny:vit": "vision",
    "tiny:resnet": "vision",
    "tiny:convnext": "vision",
    "tiny:swin": "vision",
    "tiny:clip": "text and vision",
    "tiny:wav2vec2": "audio",
    "tiny:whisper": "audio and text",
    "gru": "recurrent",
    "lstm": "recurrent",
    "looping": "a module in a loop's body",
    "branching": "modules in branches, one called twice",
    "functions": "relinked: functions",
    "optimised": "relinked: ONNX Runtime, extended",
    "hostile": "names with markup, control characters, 10,000 characters",
    "large": "20,000 nodes",
}


def row(name: str, folder: Path, tools: Tools) -> tuple[str, ...]:
    """Write, load and judge the files of one model."""
    stem = name.removeprefix("tiny:")
    hierarchy = MAKERS[name](folder / f"{stem}.onnx")
    profile = hx.profile(hierarchy, runs=5)
    cost = hx.analyze(hierarchy, detailed=True)
    explorer = folder / stem
    start = time.perf_counter()
    hx.view(hierarchy, explorer, profile=profile, analyze=cost)
    seconds = time.perf_counter() - start
    original = ORIGINALS.get(name)
    judged = judge(hierarchy, explorer, profile, folder / original if original else None)
    model = folder / f"{stem}.onnx" if isinstance(hierarchy, hx.Export) else None  # with the sidecar embedded
    loaded = tools.run("model_explorer_files", folders={str(explorer): model})[str(explorer)]
    assert loaded["graphs"] == judged.graphs
    size = sum(path.stat().st_size for path in explorer.iterdir())
    return (
        name,
        KINDS[name],
        f"{judged.nodes:,}",
        str(judged.graphs),
        str(judged.groups),
        str(judged.timed),
        str(loaded["same"] or ""),
        str(judged.mapped or ""),
        f"{1000 * seconds:,.0f}",
        f"{size / 1000:,.0f}",
    )


def main() -> None:
    """Print the table and write it."""
    names = sys.argv[1:] or list(KINDS)
    with tempfile.TemporaryDirectory(prefix="hx-viewers-") as work:
        folder = Path(work)
        tools = install(folder / "env")
        if "Model Explorer" in tools.missing:
            sys.exit(f"Model Explorer {tools.missing['Model Explorer']}.")
        rows: list[tuple[str, ...]] = []
        for name in names:
            rows.append(row(name, folder, tools))
            print(*rows[-1], sep="  ", file=sys.stderr)
    head = ("model", "is", "nodes", "graphs", "groups", "timed", "adapter", "mapped", "ms", "kB")
    text = f"""# Model Explorer

{machine()[:-1]}, {", ".join(PACKAGES["Model Explorer"]).replace("==", " ")}. `benchmarks/viewers.py` makes this page.

Files that `hx view` writes of {len(rows)} models, with time by `hx profile` and cost by `hx analyze`. Of each

* Model Explorer's own classes load every file, strictly;
* every one of the `nodes` is in the group of the call that owns it, and groups lie in each other as calls do: `groups` have nodes of their own;
* names of nodes and graphs are there once in all `graphs`;
* what the nodes below a group have in `time.json` adds up to the time of its call in `hx profile`, to the microsecond, for every call that is `timed`;
* so many values are in the same group where the `adapter` `model-explorer-onnx` reads the model that `hx export --embed` writes;
* of a relinked model every node in `mapping.json` is in one entry and in its graph: so many are `mapped`, on both sides together.

`ms` is what writing took, `kB` are all files.

{table(head, rows)}
"""
    print(text)
    if len(rows) == len(KINDS):
        (HERE.parent / "docs" / "benchmarks" / "viewers.md").write_text(text)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
