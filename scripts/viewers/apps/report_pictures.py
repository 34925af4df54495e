"""Pictures of the page of `hx report`: a call is chosen, light or dark, beside its drawing or its flame graph.

Reads `{"chromium": ..., "page": FILE, "pictures": {FILE: {"module": FQN, "scheme": "light" | "dark", "flame": BOOL}}}` from the first argument.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from chromium import browser, opened
from playwright.sync_api import Browser


def main() -> None:
    """Take each picture."""
    given = json.loads(sys.argv[1])
    with browser(given["chromium"]) as chromium:
        for picture, facts in given["pictures"].items():
            take(chromium, Path(given["page"]), picture, **facts)


def take(chromium: Browser, file: Path, picture: str, module: str, scheme: str, flame: bool) -> None:
    """Choose a call as a person does, by finding it."""
    with opened(chromium, file.as_uri(), quiet=True, picture=picture) as page:
        page.set_viewport_size({"width": 1430, "height": 860})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.keyboard.press("/")
        page.keyboard.type(module)
        page.locator(".row .name").get_by_text(module, exact=True).first.click()
        page.keyboard.press("Escape")
        page.locator("#detail", has_text="forward() takes").wait_for(timeout=5_000)
        if flame:
            page.get_by_role("button", name="Flame graph").click()
            page.locator(".flames .above").first.click()
        page.mouse.move(0, 0)


if __name__ == "__main__":
    main()
