"""Netron opens ONNX files that hx wrote, and draws every node.

Reads `{"chromium": ..., "models": {FILE: NODES}, "pictures": FOLDER}` from the first argument.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import netron
from chromium import browser, free_port, opened
from playwright.sync_api import Browser, expect

USUAL = ("https://ipinfo.io/", "https://analytics.google.com/")
"""It asks in which country it is, and tells its makers that it is used."""


def main() -> None:
    """Open each model."""
    given = json.loads(sys.argv[1])
    logging.getLogger().addHandler(logging.NullHandler())  # else it prints
    with browser(given["chromium"]) as chromium:
        for file, nodes in given["models"].items():
            show(chromium, file, nodes, f"{given['pictures']}/netron-{Path(file).stem}.png")


def show(chromium: Browser, file: str, nodes: int, picture: str) -> None:
    """Open a model, and fail if there is a message in its place or a node is missing."""
    host, port = netron.start(file, address=("127.0.0.1", free_port()), browse=False)
    # It wants an answer to a question about cookies, and to be renewed after half a year.
    cookie = {"name": "consent", "value": "1", "url": f"http://{host}:{port}"}
    with opened(
        chromium, f"http://{host}:{port}", usual=USUAL, cookies=[cookie], at="2026-11-01", picture=picture
    ) as page:
        page.locator("body.default, body.alert, body.notification").wait_for(timeout=60_000)
        assert page.locator("body.default").count(), page.locator("#message-text").inner_text()
        expect(page.locator(".graph-node")).to_have_count(nodes, timeout=60_000)


if __name__ == "__main__":
    main()
