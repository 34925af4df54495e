"""Pages of the docs, followed as a reader follows them: files are written, code and commands are run, in the order of the page.

A `python` or `toml` block with a title is a file, one without is run, a line of a `sh` block is a command of hx (`> FILE` and `# exit code 1` may
follow). The `text` block or the picture behind a block is what its last command printed.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from hx_cli._main import run

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "index.md", *sorted((DOCS / "guides").glob("*.md"))]
BLOCK = re.compile(
    r'^```(python|sh|toml)(?: title="(?P<file>[^"]+)")?\n(?P<body>.*?)^```$'
    r"(?:\n\n```text\n(?P<text>.*?)^```$|\n\n!\[[^\]]*\]\(\S*pictures/(?P<picture>[\w-]+)\.svg\))?",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Ran:
    """The last command of a block, or all of its Python."""

    command: str
    exit_code: int
    expected_code: int
    printed: str
    text: str | None
    """What the page says that it prints; a line of dots stands for lines that are left out."""
    picture: str | None
    """The name of the picture that shows what it prints."""


def follow(page: Path) -> Iterator[Ran]:
    """Run all blocks of a page in the current folder."""
    names: dict[str, object] = {}
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["file"]:
            Path(block["file"]).write_text(block["body"], encoding="utf-8")
            continue
        if block[1] == "python":
            with redirect_stdout(io.StringIO()) as printed:
                exec(block["body"], names)
            yield Ran(block["body"], 0, 0, printed.getvalue(), block["text"], block["picture"])
            continue
        *first, last = re.sub(r"\\\n\s*", "", block["body"]).splitlines()
        for line in first:
            yield _command(line, None, None)
        yield _command(last, block["text"], block["picture"])


def _command(line: str, text: str | None, picture: str | None) -> Ran:
    command, _, code = line.partition("  # exit code ")
    command, _, target = command.partition(" > ")
    program, *words = shlex.split(command, comments=True)
    assert program == "hx", line
    with redirect_stdout(io.StringIO()) as printed:
        exit_code = run(words)
    if target:
        Path(target).write_text(printed.getvalue(), encoding="utf-8")
    return Ran(command.partition("  #")[0], exit_code, int(code or 0), printed.getvalue(), text, picture)
