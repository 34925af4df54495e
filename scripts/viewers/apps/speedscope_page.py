"""speedscope's page reads the file of `hx profile --speedscope`, and gives every call its time.

Reads `{"chromium": ..., "page": FOLDER, "files": {FILE: {TAG: MICROSECONDS}}, "pictures": FOLDER}` from the first argument; the folder is `dist/release`
of the package.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from chromium import browser, opened, served
from playwright.sync_api import Browser

DRAWN = """() => {
    // What the page draws from: it keeps the profiles in a property of its parts.
    const pending = [...document.querySelectorAll("*")].flatMap((element) => element.__k ?? []);
    while (pending.length) {
        const part = pending.pop();
        const group = part?.props?.profileGroup;
        if (group) return group.profiles.map(({profile}) => {
            const frames = [];
            profile.forEachFrame((frame) => frames.push([frame.name, frame.getTotalWeight()]));
            return {name: profile.getName(), unit: profile.getWeightUnit(), total: profile.getTotalNonIdleWeight(), frames};
        });
        if (part?.__k) pending.push(...part.__k);
    }
    return null;
}"""


def main() -> None:
    """Open each file and compare the sums."""
    given = json.loads(sys.argv[1])
    frames = 0
    with browser(given["chromium"]) as chromium, served(Path(given["page"])) as page:
        for file, expected in given["files"].items():
            all_runs, one_run = read(chromium, page, file, f"{given['pictures']}/speedscope-{Path(file).stem}.png")
            found = dict(all_runs["frames"])
            assert all_runs["unit"] == one_run["unit"] == "microseconds"
            assert all_runs["total"] == max(expected.values()), (all_runs["total"], expected)
            assert {tag: found.get(tag) for tag in expected} == expected, (found, expected)
            assert found.keys() == dict(one_run["frames"]).keys(), "all runs and the one that is shown in time differ"
            frames += len(found)
    print(json.dumps({"frames": frames}))


def read(chromium: Browser, address: str, file: str, picture: str) -> list[dict[str, Any]]:
    """Return the profiles as the page has them."""
    with opened(chromium, f"{address}/index.html", picture=picture) as page:
        page.locator("input[type=file]").first.set_input_files(file)
        page.wait_for_function(DRAWN, timeout=30_000)
        return page.evaluate(DRAWN)


if __name__ == "__main__":
    main()
