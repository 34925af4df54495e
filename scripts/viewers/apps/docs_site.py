"""The docs site is read in Chromium: pages of each kind ask no other machine for anything and say nothing, and the search finds pages.

Reads `{"chromium": ..., "site": FOLDER}` from the first argument; prints how many pages were read.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from chromium import browser, opened, served


def main() -> None:
    """Open pages, and search."""
    given = json.loads(sys.argv[1])
    site = Path(given["site"])
    pages = ["index.html", "api.html", *sorted(f"guides/{page.name}" for page in (site / "guides").glob("*.html"))]
    with browser(given["chromium"]) as chromium, served(site) as address:
        for name in pages:
            with opened(chromium, f"{address}/{name}", quiet=True) as page:
                page.wait_for_load_state("networkidle")
        with opened(chromium, f"{address}/index.html", quiet=True) as page:
            page.locator(".md-search__button").click()
            page.get_by_role("combobox").or_(page.locator("input[type=text]")).first.fill("quantisation")
            page.get_by_text(re.compile(r"^\d+ results$")).wait_for(timeout=10_000)
    print(json.dumps([len(pages)]))


if __name__ == "__main__":
    main()
