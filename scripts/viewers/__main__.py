"""Real viewers open what hx writes, and Chromium the page of `hx report`: `uv run python scripts/viewers [PICTURES]`.

The viewers are installed into an environment of their own. What cannot be had here is said, and not tried; so it is with Chromium
(`apt-get install chromium`). PICTURES is a folder for pictures of the pages.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from models import MODELS, Written, write
from tools import Tools, install


def main() -> None:
    """Try all viewers; end with what went wrong."""
    with tempfile.TemporaryDirectory(prefix="hx-viewers-") as name:
        folder = Path(name)
        pictures = Path(sys.argv[1]) if len(sys.argv) > 1 else folder
        tools = install(folder / "env")
        for tool, why in tools.missing.items():
            print(f"{tool} {why}: what needs it is not tried.")
        models = [write(model, folder) for model in MODELS]
        for check in (model_explorer, report_pages):
            start = time.perf_counter()
            check(tools, models, pictures)
            print(f"  {time.perf_counter() - start:.0f} s")


def model_explorer(tools: Tools, models: list[Written], pictures: Path) -> None:
    """Its classes load all files, its ONNX adapter finds the same groups, its page shows them."""
    if "Model Explorer" in tools.missing:
        return
    for model in models:
        found = tools.run("model_explorer_files", folder=model.explorer, model=model.model)
        print(f"{model.name}: Model Explorer loads {found['nodes']} nodes in {found['graphs']} graphs; ", end="")
        print(f"its ONNX adapter has {found['same']} values in the same groups")
    if tools.chromium:
        folders = {model.name: model.explorer for model in models}
        tools.run("model_explorer_page", chromium=tools.chromium, folders=folders, pictures=pictures)
        print(f"{', '.join(folders)}: Model Explorer's page shows the graphs and all node data")


def report_pages(tools: Tools, models: list[Written], pictures: Path) -> None:
    """The page of `hx report` is used."""
    if not tools.chromium:
        return
    pages: dict[Path, dict[str, object]] = {}
    for model in models:
        sidecar = model.exported.sidecar
        seen = {row.op_type: sidecar.module_of(sidecar.calls[row.owner]).fqn for row in sidecar.nodes}
        operator, module = next((operator, fqn) for operator, fqn in seen.items() if fqn)
        picture = pictures / f"report-{model.name}.png"
        pages[model.page] = {"operator": operator, "module": module, "picture": picture}
    ready = tools.run("report_page", chromium=tools.chromium, pages={str(page): facts for page, facts in pages.items()})
    for page, milliseconds in ready.items():
        print(f"{Path(page).stem}: the page of hx report is ready in {milliseconds} ms and works")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
