"""The one place that drives Chromium: pages that are watched for what goes wrong in them and for what they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, sync_playwright

OPTIONS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
"""As root; WebGL without a graphics card."""


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=executable, args=OPTIONS)


@contextmanager
def opened(
    chromium: Browser,
    url: str,
    *,
    usual: Sequence[str] = (),
    quiet: bool = False,
    cookies: Sequence[Any] = (),
    at: str | None = None,
    picture: str | Path | None = None,
) -> Iterator[Page]:
    """Show a page on this machine; at the end fail if an error was said in it, or another machine asked for anything.

    Args:
        chromium: From `browser`.
        url: Of this machine.
        usual: Parts of what the program on the page says or asks for whatever it shows.
        quiet: Nothing at all may be said, be it no error.
        cookies: What the program remembers from an earlier visit.
        at: The day that the program is told it is; None for today.
        picture: Where to keep what it looks like at the end.
    """
    context = chromium.new_context(viewport={"width": 1500, "height": 950}, offline=url.startswith("file:"))
    context.route(lambda asked: not _is_here(asked), lambda route: route.abort())
    context.add_cookies(cookies)
    page = context.new_page()
    if at:
        page.clock.set_fixed_time(at)
    said: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if quiet or message.type == "error":
            said.append(f"{message.text} {message.location.get('url', '')}")

    def ask(request: Request) -> None:
        if not _is_here(request.url):
            said.append(f"asks for {request.url}")

    def answer(dialog: Dialog) -> None:
        said.append(f"asks the reader {dialog.message!r}")
        dialog.dismiss()

    page.on("console", listen)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", ask)
    page.on("dialog", answer)
    page.goto(url)
    try:
        yield page
    except Exception as error:
        error.add_note(f"The page said: {said}")
        raise
    if picture:
        page.screenshot(path=picture)
    context.close()
    wrong = [text for text in said if not any(part in text for part in usual)]
    assert not wrong, wrong


def computed_ms(page: Page) -> int:
    """Return how long processors have worked for a page since it was opened, whatever else they did."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return round(1000 * metrics["ProcessTime"])


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _is_here(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob") or parts.hostname in ("127.0.0.1", "localhost")
