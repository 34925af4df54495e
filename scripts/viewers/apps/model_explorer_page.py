"""Model Explorer's page shows the graphs that `hx view` wrote, with all node data.

Reads `{"chromium": ..., "folders": {NAME: FOLDER}, "pictures": FOLDER}` from the first argument.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from pathlib import Path

import requests
from chromium import browser, opened
from model_explorer.config import ModelExplorerConfig
from model_explorer.server import start
from playwright.sync_api import Browser

FONTS = "https://fonts.gstatic.com/"
"""The page asks for them whatever it shows."""


def main() -> None:
    """Start the server and show the files of each folder."""
    given = json.loads(sys.argv[1])
    server = serve()
    with browser(given["chromium"]) as chromium:
        for name, folder in given["folders"].items():
            show(chromium, server, Path(folder), Path(given["pictures"]) / f"model-explorer-{name}.png")


def serve() -> str:
    """Start Model Explorer's server, which shows any file of this machine, and return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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


if __name__ == "__main__":
    main()
