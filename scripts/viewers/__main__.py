"""Real viewers open what hx writes, and Chromium the page of `hx report` and the docs site: `uv run python scripts/viewers [PICTURES]`.

The viewers are installed into an environment of their own. What cannot be had here is said, and not tried; so it is with Chromium
(`apt-get install chromium`). PICTURES is a folder for pictures of the pages.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from judging import judge
from models import MODELS, ORIGINALS, Written, write
from tools import Tools, install

from hx_sidecar_schema import visible

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Try all viewers; end with what went wrong."""
    with tempfile.TemporaryDirectory(prefix="hx-viewers-") as name:
        folder = Path(name)
        pictures = Path(sys.argv[1]) if len(sys.argv) > 1 else folder
        with timed("installed"):
            tools = install(folder / "env")
        for tool, why in tools.missing.items():
            print(f"{tool} {why}: what needs it is not tried.")
        with timed(f"wrote {', '.join(MODELS)}"):
            models = {model: write(model, folder) for model in MODELS}
        for check in (model_explorer_files, model_explorer_page, report_pages, speedscope, perfetto, netron, docs):
            with timed(check.__name__):
                check(tools, models, pictures)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long something took."""
    start = time.perf_counter()
    yield
    print(f"  {what}: {time.perf_counter() - start:.0f} s", flush=True)


def model_explorer_files(tools: Tools, models: dict[str, Written], pictures: Path) -> None:
    """The files say what hx says; Model Explorer's classes load them, and its ONNX adapter finds the same groups in a file that has the sidecar embedded."""
    for name, model in models.items():
        original = models[ORIGINALS[name]].explorer if name in ORIGINALS else None
        judged = judge(model.hierarchy, model.explorer, model.profile, original)
        print(
            f"{name}: {judged.nodes} nodes in the groups of their owners, {judged.timed} calls with the sums of hx profile"
        )
    if "Model Explorer" in tools.missing:
        return
    embedded = {model.explorer: model.model for model in models.values() if model.parts}
    folders = [model.explorer for model in models.values()]
    found = tools.run("model_explorer_files", folders={str(folder): embedded.get(folder) for folder in folders})
    for folder, counts in found.items():
        print(f"{Path(folder).name}: Model Explorer loads {counts['nodes']} nodes in {counts['graphs']} graphs", end="")
        print(f"; its ONNX adapter has {same} values in the same groups" if (same := counts["same"]) else "")


def model_explorer_page(tools: Tools, models: dict[str, Written], pictures: Path) -> None:
    """Model Explorer's page shows graphs with all node data, and two that are mapped beside each other."""
    if tools.lacks("Model Explorer"):
        return
    folders = {name: models[name].explorer for name in ("branching", "hostile")}
    panes = [models[name].explorer for name in ("bert", "optimised")]
    found = tools.run("model_explorer_page", chromium=tools.chromium, folders=folders, panes=panes, pictures=pictures)
    print(f"{', '.join(folders)}: Model Explorer's page shows the graphs and all node data")
    print(f"bert, optimised: {found['moved']} nodes that are selected in one pane are in the other")


def report_pages(tools: Tools, models: dict[str, Written], pictures: Path) -> None:
    """The page of `hx report` is used."""
    if tools.chromium is None:
        return
    pages: dict[str, dict[str, object]] = {}
    for name, model in models.items():
        sidecar = model.hierarchy.sidecar
        seen = {row.op_type: sidecar.module_of(sidecar.calls[row.owner]).fqn for row in sidecar.nodes}
        operator, module = next((operator, fqn) for operator, fqn in seen.items() if fqn)
        picture = pictures / f"report-{name}.png"
        pages[str(model.page)] = {"operator": operator, "module": module, "picture": picture}
    ready = tools.run("report_page", chromium=tools.chromium, pages=pages)
    for page, (waited, computed) in ready.items():
        print(f"{Path(page).stem}: the page of hx report is ready in {waited} ms, {computed} of computing, and works")


def speedscope(tools: Tools, models: dict[str, Written], pictures: Path) -> None:
    """Speedscope gives every call the time of `hx profile`."""
    if tools.lacks("speedscope"):
        return
    files = {str(model.speedscope): times(model) for model in models.values() if model.profile}
    given = {"page": tools.speedscope, "files": files, "pictures": pictures}
    found = tools.run("speedscope_page", chromium=tools.chromium, **given)
    print(f"speedscope: {found['frames']} frames of {len(files)} profiles, every call with its time")


def perfetto(tools: Tools, models: dict[str, Written], pictures: Path) -> None:
    """Perfetto gives every call the time of `hx profile`."""
    if tools.lacks("Perfetto"):
        return
    traces = {
        str(model.trace): {tag.replace("\\", "\N{SET MINUS}"): time for tag, time in times(model).items()}
        for model in (models["branching"], models["optimised"], models["hostile"])
    }
    found = tools.run("perfetto_page", chromium=tools.chromium, traces=traces, pictures=pictures)
    print(f"Perfetto: {found['slices']} slices of {len(traces)} traces, every call with its time")


def times(model: Written) -> dict[str, int]:
    """Return the time of each call that has any, by its tag as viewers show it, in microseconds of all runs."""
    assert model.profile is not None
    return {visible(call.tag): call.total_us for call in model.profile.calls if call.total_us}


def netron(tools: Tools, models: dict[str, Written], pictures: Path) -> None:
    """Netron opens models that were exported, relinked, projected and cut out, and those with functions for calls."""
    if tools.lacks("Netron"):
        return
    small = (model for name, model in models.items() if name != "large")
    files = [file for model in small for file in (model.model, *model.parts, *model.functions)]
    tools.run(
        "netron_page", chromium=tools.chromium, models={str(file): drawn(file) for file in files}, pictures=pictures
    )
    print(f"Netron: {len(files)} models open, with all their nodes")


def docs(tools: Tools, models: dict[str, Written], pictures: Path) -> None:
    """The docs site, made anew, asks no other machine for anything, and its search finds pages."""
    if tools.chromium is None:
        return
    build = ["uv", "run", "--quiet", "--group", "docs", "zensical", "build", "--strict"]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (pages,) = tools.run("docs_site", chromium=tools.chromium, site=ROOT / "site")
    print(f"docs: {pages} pages of the site ask no other machine for anything, and its search finds pages")


def drawn(file: Path) -> int:
    """Return how many nodes Netron draws: those of the main graph, and one for each of their bodies; a constant is shown where it is read."""
    nodes = [node for node in onnx.load(file, load_external_data=False).graph.node if node.op_type != "Constant"]
    return len(nodes) + sum(attribute.HasField("g") for node in nodes for attribute in node.attribute)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
