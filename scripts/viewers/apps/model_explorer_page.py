"""Model Explorer's page shows the graphs that `hx view` wrote, with all node data, and two graphs that are mapped beside each other.

Reads `{"chromium": ..., "folders": {NAME: FOLDER}, "panes": [FOLDER, FOLDER], "pictures": FOLDER}` from the first argument: of two panes, where there
are any, the second has the mapping.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import requests
from chromium import browser, free_port, opened
from model_explorer.config import ModelExplorerConfig
from model_explorer.server import start
from playwright.sync_api import Browser

FONTS = "https://fonts.gstatic.com/"
"""The page asks for them whatever it shows."""


def main() -> None:
    """Start the server, show the files of each folder, and two beside each other."""
    given = json.loads(sys.argv[1])
    server = serve()
    with browser(given["chromium"]) as chromium:
        pictures = Path(given["pictures"])
        for name, folder in given["folders"].items():
            show(chromium, server, Path(folder), pictures / f"model-explorer-{name}.png")
        if given["panes"]:
            left, right = map(Path, given["panes"])
            moved = beside(chromium, server, left, right, pictures / "model-explorer-panes.png")
            print(json.dumps({"moved": moved}))


def serve() -> str:
    """Start Model Explorer's server, which shows any file of this machine, and return its address."""
    port = free_port()
    threading.Thread(target=start, kwargs={"port": port, "no_open_in_browser": True}, daemon=True).start()
    for _ in range(100):
        try:
            requests.get(f"http://localhost:{port}/check_health", timeout=5)
            break
        except requests.ConnectionError:
            time.sleep(0.1)
    return f"http://localhost:{port}"


def show(chromium: Browser, server: str, folder: Path, picture: Path) -> None:
    """Open graph and node data, and wait for the graph and for the name of each column."""
    data = [path for path in sorted(folder.iterdir()) if path.name not in ("graph.json", "mapping.json")]
    shown = ModelExplorerConfig().add_model_from_path(str(folder / "graph.json"), adapterId="builtin_json")
    for path in data:
        shown.add_node_data_from_path(str(path))
    with opened(chromium, f"{server}/?data={shown.to_url_param_value()}", usual=[FONTS], picture=picture) as page:
        page.get_by_text("op node count").wait_for(timeout=60_000)
        for path in data:
            name = next(iter(json.loads(path.read_text()).values()))["name"]
            page.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
        page.wait_for_timeout(1_000)  # the drawing


def beside(chromium: Browser, server: str, left: Path, right: Path, picture: Path) -> int:
    """Open two graphs in two panes with the mapping of the second; return how many nodes, selected on the left, select theirs on the right."""
    entries = json.loads((right / "mapping.json").read_text())["mappingEntries"]
    tried = sorted(entries, key=lambda entry: entry["leftNodeIds"] == entry["rightNodeIds"])[
        :3
    ]  # other names tell most
    collections = [json.loads((folder / "graph.json").read_text()) for folder in (left, right)]
    shown = {
        "models": [{"url": str(folder / "graph.json"), "adapterId": "builtin_json"} for folder in (left, right)],
        "uiState": {
            "paneStates": [
                {
                    "deepestExpandedGroupNodeIds": [],
                    "selectedNodeId": "",
                    "selectedGraphId": collection["graphs"][0]["id"],
                    "selectedCollectionLabel": collection["label"],
                    "widthFraction": 0.5,
                    "selected": collection is collections[0],
                }
                for collection in collections
            ]
        },
    }
    with opened(chromium, f"{server}/?data={quote(json.dumps(shown))}", usual=[FONTS], picture=picture) as page:
        for collection in collections:
            page.get_by_text(f"{collection['label']} | {collection['graphs'][0]['id']}").wait_for(timeout=60_000)
        page.locator("sync-navigation-button .content").click()
        page.get_by_text("Upload mapping from computer").click()
        page.locator(".upload-mapping-input").set_input_files(right / "mapping.json")
        page.locator(".uploaded-file-name", has_text="mapping.json").wait_for()
        page.keyboard.press("Escape")
        for entry in tried:
            page.evaluate(
                "(id) => window.postMessage({cmd: 'model-explorer-select-node-by-node-id', nodeId: id})",
                entry["leftNodeIds"][0],
            )
            page.wait_for_function(
                """(ids) => {
                    const state = JSON.parse(new URLSearchParams(location.search).get("data")).uiState;
                    return ids.includes(state.paneStates[1].selectedNodeId);
                }""",
                arg=entry["rightNodeIds"],
                timeout=20_000,
            )
        page.wait_for_timeout(1_000)  # the drawing
    return len(tried)


if __name__ == "__main__":
    main()
