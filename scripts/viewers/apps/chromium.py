"""The one place that drives Chromium: pages that are watched for what goes wrong in them and for what they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

OPTIONS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
"""As root; WebGL without a graphics card."""


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=executable, args=OPTIONS)


@contextmanager
def opened(
    chromium: Browser, url: str, *, usual: Sequence[str] = (), quiet: bool = False, picture: str | Path | None = None
) -> Iterator[Page]:
    """Show a page on this machine; at the end fail if an error was said in it, or another machine asked for anything.

    Args:
        chromium: From `browser`.
        url: Of this machine.
        usual: Parts of what the program on the page says or asks for whatever it shows.
        quiet: Nothing at all may be said, be it no error.
        picture: Where to keep what it looks like at the end.
    """
    context = chromium.new_context(viewport={"width": 1500, "height": 950}, offline=url.startswith("file:"))
    context.route(lambda asked: not _is_here(asked), lambda route: route.abort())
    page = context.new_page()
    said: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if quiet or message.type == "error":
            said.append(f"{message.text} {message.location.get('url', '')}")

    def ask(request: Request) -> None:
        if not _is_here(request.url):
            said.append(f"asks for {request.url}")

    page.on("console", listen)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", ask)
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


def _is_here(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob") or parts.hostname in ("127.0.0.1", "localhost")
