"""Real viewers open what hx writes, and Chromium the page of `hx report`: `uv run python scripts/viewers.py [SCREENSHOTS]`.

Model Explorer is installed into an environment of its own; where that cannot be, this says so and nothing is tried. Its pages are opened
in Chromium (`apt-get install chromium`), where there is one. SCREENSHOTS is a folder for pictures of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import hx

PACKAGES = ("ai-edge-model-explorer==0.1.34", "model-explorer-onnx==0.4.2", "playwright")
LOADS = """
import json, sys
from pathlib import Path
import dacite
from model_explorer import graph_builder, node_data_builder
from model_explorer_onnx.main import ONNXAdapter

folder, model = map(Path, sys.argv[1:])
strict = dacite.Config(strict=True)
read = {path.name: json.loads(path.read_text()) for path in folder.iterdir()}
collection = dacite.from_dict(graph_builder.GraphCollection, read.pop("graph.json"), strict)
ids = {graph.id: {node.id for node in graph.nodes} for graph in collection.graphs}
for name, graphs in read.items():
    loose = dacite.Config(strict=True, check_types=name != "confidence.json")  # texts: the page takes them, its dataclass does not say so
    for graph, data in graphs.items():
        assert dacite.from_dict(node_data_builder.GraphNodeData, data, loose).results.keys() <= ids[graph], name

def groups(graphs, name):
    return {
        next(one.value for one in item.attrs if one.key == name): node.namespace
        for node in graphs[0].nodes
        for item in node.outputsMetadata
        if node.label != "Input"
    }

converted = ONNXAdapter().convert(str(model), {})["graphs"]
root = converted[0].id
theirs = {key: path.removeprefix(root).removeprefix("/") for key, path in groups(converted, "__tensor_tag").items() if "/If <" not in path}
ours = groups(collection.graphs, "tensor_name")
both = ours.keys() & theirs.keys()  # the adapter makes values for what bodies capture, drops weights that nothing reads, and puts branches into the graph
other = {key: (ours[key], theirs[key]) for key in both if ours[key] != theirs[key]}
assert not other and len(both) > 0.7 * len(ours), (other, ours.keys() ^ theirs.keys())
print(len(collection.graphs), len(both), len(set(ours.values())))
"""
SHOWS = """
import json, sys, threading
from pathlib import Path
from model_explorer.config import ModelExplorerConfig
from model_explorer.server import start
from playwright.sync_api import sync_playwright

folder, picture, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
data = [path for path in sorted(folder.iterdir()) if path.name not in ("graph.json", "mapping.json")]
shown = ModelExplorerConfig().add_model_from_path(str(folder / "graph.json"), adapterId="builtin_json")
for path in data:
    shown.add_node_data_from_path(str(path))
threading.Thread(target=start, kwargs=dict(port=port, config=shown, no_open_in_browser=True), daemon=True).start()
with sync_playwright() as play:
    options = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
    page = play.chromium.launch(executable_path=sys.argv[4], args=options).new_page(viewport=dict(width=1500, height=950))
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for attempt in range(50):
        try:
            page.goto(f"http://localhost:{port}/?data={shown.to_url_param_value()}")
            break
        except Exception as error:
            if attempt == 49: raise
            page.wait_for_timeout(200)
    page.get_by_text("op node count").wait_for(timeout=60_000)
    for path in data:
        name = next(iter(json.loads(path.read_text()).values()))["name"]
        page.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
    page.wait_for_timeout(2_000)
    page.screenshot(path=picture)
    assert not errors, errors
"""

PAGE = """
import sys
from pathlib import Path
from playwright.sync_api import sync_playwright

page_file, picture, chromium, module, operator = sys.argv[1:]
with sync_playwright() as play:
    context = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_context(
        viewport=dict(width=1500, height=950), offline=True
    )
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(Path(page_file).as_uri())
    ready = float(page.evaluate("document.body.dataset.ready"))
    page.keyboard.press("/")
    page.keyboard.type(operator)
    page.locator(".row .op", has_text=operator).first.click()
    page.locator("#detail .node.on", has_text=operator).wait_for(timeout=5_000)
    page.keyboard.press("/")
    page.keyboard.type(module)
    page.locator(".row .name").get_by_text(module, exact=True).first.click()
    page.keyboard.press("Escape")
    page.locator("#detail", has_text="forward() takes").wait_for(timeout=5_000)
    assert page.locator("#detail td", has_text="FLOAT[").count(), "no port"
    assert page.locator(".row.on").count() == 1
    rows = page.locator(".row").count()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".row").count() == 1 < rows, "the tree did not close"
    page.keyboard.press("ArrowRight")
    page.screenshot(path=picture)
    assert not said, said
    assert [url.partition(":")[0] for url in asked] == ["file"], asked
    assert ready < 2_000, ready
    print(round(ready))
"""


class Block(torch.nn.Module):
    """A layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = torch.nn.Linear(8, 8), torch.nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        return self.norm(torch.relu(self.inner(x)) + x)


class Branching(torch.nn.Module):
    """A recurrence, and a branch with modules in it."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.rnn = Block(), torch.nn.GRU(8, 8, batch_first=True)
        self.one, self.other = Block(), Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        x = self.rnn(self.block(self.block(x)))[0]
        return torch.cond(x.sum() > 0, lambda x: self.one(x), lambda x: self.other(x), (x,))


def main() -> None:
    """Try both models; end with what went wrong."""
    pictures = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    models: dict[str, tuple[Any, Any]] = {
        "bert": ("tiny:bert", ()),
        "branching": (Branching().eval(), (torch.randn(2, 3, 8),)),
    }
    with tempfile.TemporaryDirectory(prefix="hx-viewers-") as name:
        folder = Path(name)
        python = folder / "env" / "bin" / "python"
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, folder / "env"], check=True)
        done = subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *PACKAGES], check=False)
        if done.returncode:
            print("Model Explorer cannot be installed here: no viewer was tried.")
            return
        chromium = shutil.which("chromium")
        for number, (name, (model, inputs)) in enumerate(models.items()):
            exported = hx.export(model, inputs)
            exported.save(folder / f"{name}.onnx", embed=True)
            records: dict[str, Any] = {
                "profile": hx.profile(exported, runs=5),
                "verify": hx.verify(exported),
                "analyze": hx.analyze(exported, detailed=True),
            }
            written = hx.view(exported, folder / name, **records)
            hx.report(exported, folder / f"{name}.html", **records)
            found = _run(python, LOADS, folder / name, folder / f"{name}.onnx")
            graphs, values, groups = map(int, found.split())
            assert graphs == written.graphs
            print(
                f"{name}: {len(written.files)} files loaded; {values} values of the .onnx file in the same {groups} groups"
            )
            if chromium is None:
                print("There is no chromium here: no page was opened.")
                continue
            picture = (pictures or folder) / f"model-explorer-{name}.png"
            _run(python, SHOWS, folder / name, picture, 8181 + number, chromium)
            print(f"{name}: the page shows the graph and all node data")
            seen = {
                row.op_type: exported.sidecar.module_of(exported.sidecar.calls[row.owner]).fqn
                for row in exported.sidecar.nodes
            }
            operator, module = next((operator, fqn) for operator, fqn in seen.items() if fqn)
            picture = (pictures or folder) / f"report-{name}.png"
            ready = _run(python, PAGE, folder / f"{name}.html", picture, chromium, module, operator).strip()
            print(
                f"{name}: the page of hx report is ready in {ready} ms, finds nodes, shows ports and asks for nothing"
            )


def _run(python: Path, code: str, *arguments: object) -> str:
    done = subprocess.run([python, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{arguments}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
