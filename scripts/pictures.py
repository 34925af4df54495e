"""Make the pictures of the docs from real runs: `uv run python scripts/pictures.py [PAGE...]`, all pages by default.

Pages are followed as `tests/guides.py` follows them. What a command prints becomes a picture where the page shows one. The guide on looking
at a model leaves files for viewers: they are opened in Chromium.
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

REPORT = {
    "report": {"module": "encoder.layer.0", "scheme": "light", "flame": False},
    "report-dark": {"module": "encoder.layer.0.attention.self", "scheme": "dark", "flame": False},
    "report-flame": {"module": "encoder.layer.0.attention.self", "scheme": "light", "flame": True},
}
"""Pictures of the page of `hx report`."""


def main() -> None:
    """Follow pages and write what they show."""
    os.environ.update(COLUMNS=str(WIDTH), FORCE_COLOR="1", HF_HUB_OFFLINE="1")
    named = sys.argv[1:]
    for page in PAGES:
        if not named or page.stem in named:
            with tempfile.TemporaryDirectory(prefix="hx-pictures-") as folder, chdir(folder):
                terminals(page)
                if page.stem == "look":
                    viewers(Path(folder))


def terminals(page: Path) -> None:
    """Write the pictures of what commands of a page print."""
    with redirect_stderr(io.StringIO()) as said:
        for ran in follow(page):
            if ran.exit_code != ran.expected_code:
                sys.exit(f"{page.stem}: {ran.command}\n{said.getvalue()}")
            if ran.picture:
                picture = PICTURES / f"{ran.picture}.svg"
                picture.write_text(terminal(ran.command, ran.printed, ran.picture), encoding="utf-8")
                print(picture.relative_to(DOCS.parent))


def viewers(folder: Path) -> None:
    """Write the pictures of what the guide on looking at a model has left in a folder."""
    tools = install(folder / "env")
    if tools.missing:
        sys.exit(str(tools.missing))
    shown = {PICTURES / f"{name}.png": facts for name, facts in REPORT.items()}
    tools.run(
        "report_pictures",
        chromium=tools.chromium,
        page=folder / "bert.html",
        pictures={str(p): f for p, f in shown.items()},
    )
    tools.run("model_explorer_page", chromium=tools.chromium, folders={"bert": folder / "explorer"}, pictures=PICTURES)
    print(*(path.relative_to(DOCS.parent) for path in [*shown, PICTURES / "model-explorer-bert.png"]), sep="\n")


def terminal(command: str, printed: str, name: str) -> str:
    """Return what a terminal shows of a command, as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(Text.from_ansi(printed.rstrip()), soft_wrap=True)
    svg = console.export_svg(title=f"$ {command}", code_format=SVG, unique_id=name)
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


if __name__ == "__main__":
    main()
