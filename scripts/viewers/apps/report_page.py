"""The page of `hx report` works in Chromium, from disk and offline: it finds nodes, shows ports, closes and opens its tree, draws, and stacks.

Reads `{"chromium": ..., "pages": {FILE: {"module": FQN, "operator": TYPE, "picture": FILE}}}` from the first argument; prints
for each page after how many milliseconds it could be used, and how many of computing that took.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from chromium import browser, computed_ms, opened
from playwright.sync_api import Browser

SLOW_MS = 10_000
"""A page that takes longer is broken, on however busy a machine."""

DRAWN = """() => {
  const boxOf = (at, node) => {
    let call = nodes[node].call, below = null;
    for (; call !== null && call !== at; call = calls[call].parent) below = call;
    return call === null ? null : below === null ? `n${node}` : `c${below}`;
  };
  const wrong = [], runs = new Set(nodes.flatMap((node, at) => node.graphs.length ? [at] : []));
  for (let at = 0; at < calls.length; at += Math.ceil(calls.length / 200)) {
    const { boxes, arrows } = levelOf(at), wanted = new Set();
    const plain = key => !key.endsWith(" in") && !(key[0] === "n" && runs.has(Number(key.slice(1))));
    nodes.forEach((node, reader) => node.reads.forEach(read => {
      if (read === null || runs.has(reader)) return;
      const [graph, name] = Array.isArray(read) ? read : [node.graph, read], maker = makers[graph].get(name);
      if (maker === undefined) return;
      const from = boxOf(at, maker), to = boxOf(at, reader);
      if (from === to || (from !== null && !boxes.has(from))) return; // nothing is drawn inside a box, nor of a constant
      if (from === null) { if (!arrows.has(`i${graph} ${name} ${to}`)) wrong.push([at, "in", name]); }
      else if (to === null) { if (!arrows.has(`${from} o${graph} ${name}`)) wrong.push([at, "out", name]); }
      else if (!arrows.has(`${from} ${to}`)) wrong.push([at, from, to]);
      else wanted.add(`${from} ${to}`);
    }));
    for (const [key, { from, to }] of arrows)
      if ("nc".includes(from[0]) && "nc".includes(to[0]) && plain(from) && plain(to) && !wanted.has(key)) wrong.push([at, "no", from, to]);
  }
  return wrong;
}"""
"""What the drawings of calls lack or have too much, by the way from each node up the tree: a value that a box reads of another is an
arrow. Arrows of nodes that run bodies are left out: they stand for what the body reads and gives."""


def main() -> None:
    """Use each page."""
    given = json.loads(sys.argv[1])
    with browser(given["chromium"]) as chromium:
        print(json.dumps({file: use(chromium, file, **facts) for file, facts in given["pages"].items()}))


def use(chromium: Browser, file: str, module: str, operator: str, picture: str) -> tuple[int, int]:
    """Search, click, and move by keys; return after how many milliseconds the page was ready, and how many it took of computing."""
    with opened(chromium, Path(file).as_uri(), quiet=True, picture=picture) as page:
        ready, computed = float(page.evaluate("document.body.dataset.ready")), computed_ms(page)
        page.keyboard.press("/")
        page.keyboard.type(operator)
        page.locator(".row .op", has_text=operator).first.click()
        page.locator("#detail .node.on", has_text=operator).wait_for(timeout=5_000)
        page.keyboard.press("/")
        page.keyboard.type(module)
        page.locator(".row .name").get_by_text(module, exact=True).first.click()
        page.keyboard.press("Escape")
        page.locator("#detail", has_text="forward() takes").wait_for(timeout=5_000)
        assert page.locator("#detail td", has_text="FLOAT[").count(), "no port"
        assert page.locator(".row.on").count() == 1
        rows = page.locator(".row").count()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowLeft")
        assert page.locator(".row").count() == 1 < rows, "the tree did not close"
        page.keyboard.press("ArrowRight")
        box = page.locator("#drawing .box.call").last
        tag = box.locator("title").text_content() or ""
        box.click()
        page.locator("#detail td", has_text=tag).wait_for(timeout=5_000)
        assert page.locator(".row.on .name").get_attribute("title") == tag, "a box leads to its call"
        assert not (wrong := page.evaluate(DRAWN)), wrong[:5]
        page.get_by_role("button", name="Flame graph").click()
        few = page.locator(".flames button").count()
        page.locator(".flames .above").first.click()
        assert page.locator(".flames .above").count() == 0, "a click makes a call as wide as the page"
        assert page.locator(".flames button").count() > few, "the whole model has more boxes than a call"
        page.keyboard.press("f")
        page.mouse.move(0, 0)
        page.evaluate("reveal(calls[depth.indexOf(Math.max(...depth))].parent)")  # a call deep down, for the picture
    assert ready < SLOW_MS, ready
    return round(ready), computed


if __name__ == "__main__":
    main()
