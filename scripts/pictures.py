"""Make the pictures of the docs from real runs: `uv run python scripts/pictures.py [PAGE...]`, all pages by default.

Pages are followed as `tests/guides.py` follows them. What a command prints becomes a picture where the page shows one. What guides
leave for viewers, `report.html` and files for Model Explorer, is opened in Chromium.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from contextlib import chdir, redirect_stderr
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("tests", "scripts/viewers"))
from guides import DOCS, PAGES, follow
from rich import _export_format
from rich.console import Console
from rich.text import Text
from tools import install

PICTURES = DOCS / "pictures"
WIDTH = 96
"""Columns of the terminal."""
SVG = re.sub(r"@font-face \{\{.*?\}\}", "", _export_format.CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""As rich writes it (15.0), without fonts from elsewhere."""

REPORTS = {
    "look": {
        "report": {"module": "encoder.layer.0", "scheme": "light", "flame": False},
        "report-dark": {"module": "encoder.layer.0.attention.self", "scheme": "dark", "flame": False},
        "report-flame": {"module": "encoder.layer.0.attention.self", "scheme": "light", "flame": True},
    },
    "quantisation": {"report-compared": {"module": "blocks.3", "scheme": "light", "flame": False}},
}
"""By guide: pictures of the page that it writes, `report.html`."""


def main() -> None:
    """Follow pages and write what they show."""
    os.environ.update(COLUMNS=str(WIDTH), FORCE_COLOR="1", HF_HUB_OFFLINE="1")
    named = sys.argv[1:]
    for page in PAGES:
        if not named or page.stem in named:
            with tempfile.TemporaryDirectory(prefix="hx-pictures-") as folder, chdir(folder):
                terminals(page)
                viewers(page, Path(folder))


def terminals(page: Path) -> None:
    """Write the pictures of what commands of a page print."""
    with redirect_stderr(io.StringIO()) as said:
        for ran in follow(page):
            if ran.exit_code != ran.expected_code:
                sys.exit(f"{page.stem}: {ran.command}\n{said.getvalue()}")
            if ran.picture:
                picture = PICTURES / f"{ran.picture}.svg"
                picture.write_text(terminal(ran.command, ran.printed, ran.picture), encoding="utf-8")


def viewers(page: Path, folder: Path) -> None:
    """Write the pictures of what following a page has left in a folder."""
    report, explorer = folder / "report.html", folder / "explorer"
    if page.stem not in REPORTS:
        return
    tools = install(folder / "env")
    if tools.lacks("Model Explorer"):
        sys.exit(str(tools.missing))
    pictures = {str(PICTURES / f"{name}.png"): facts for name, facts in REPORTS[page.stem].items()}
    tools.run("report_pictures", chromium=tools.chromium, page=report, pictures=pictures)
    if explorer.exists():
        given = {"folders": {"bert": explorer}, "panes": [], "pictures": PICTURES}
        tools.run("model_explorer_page", chromium=tools.chromium, **given)


def terminal(command: str, printed: str, name: str) -> str:
    """Return what a terminal shows of a command, as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(Text.from_ansi(printed.rstrip()), soft_wrap=True)
    svg = console.export_svg(title=f"$ {command}", code_format=SVG, unique_id=name)
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


if __name__ == "__main__":
    main()
