"""Write docs/api.md from the docstrings of `hx`: `uv run python scripts/api_page.py`; a test compares."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import hx
from hx.records.demo import DemoReport
from hx.schema import REPORTS

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
TASKS = {
    "Export and load": ["export", "Export", "load", "demo"],
    "Look": ["Hierarchy", "Call", "tree", "modules", "nodes", "analyze", "view", "report"],
    "Cut": ["extract", "Extraction"],
    "Check": ["verify", "validate", "compare", "debug"],
    "Carry over": ["relink", "project"],
    "Time": ["profile", "profile_isolated", "compare_profiles", "Profile", "ProfileComparison"],
    "Models, progress, errors": ["ModelSpec", "Progress", "command_line", "HxError"],
}
OTHERS = {
    "Progress": "A function that is told what goes on: `Callable[[str, int, int], None]`.",
    "command_line": "What the user typed, for the record of what made a file: a `ContextVar` that programs in front of hx set.",
}
INTRODUCTION = """# The Python API

`import hx`. This page is made from the docstrings by `scripts/api_page.py`; a notebook that uses most of it is
[examples/notebook.ipynb](../examples/notebook.ipynb).

**Models.** What is exported, or compared with, is a module in memory, a function that makes one (or a module and its example
inputs), or a string: a Hub id or folder, `file.py:factory`, `package.module:factory`, `tiny:ARCH`. `hx.ModelSpec` adds how a
string is loaded: `task`, `dtype`, `random_weights`. A module in memory is as before afterwards, `training` included: call `eval()`
first, or dropout is part of the graph, as it is with `torch.onnx.export`.

**Inputs.** `export` takes `args` and `kwargs` as `torch.onnx.export` does, and more: a mapping by the names of `forward()`, arrays, or a
file (`.pt`, `.npz`, `.safetensors`). Without any, inputs are made that fit the signature; `input_shapes` helps. `verify`, `project` and
`debug` take the same; `extract`, `analyze` and `profile` take arrays or tensors by the names of the ONNX model's inputs, as `verify` does too.

**ONNX models.** Where a function takes `model`, it takes what `export` or `load` gave, or the path of a file with its sidecar beside
it. A sidecar, `NAME_hierarchy.json`, is described in [sidecar-format.md](sidecar-format.md).

**Patterns.** A tag (`/Encoder/Block.1/Attention`, with `...` for any number of segments and `*` inside one), a module's name
(`blocks.*.attention`), or a class name (`Attention`). `PATTERN@1` is the second call of a module that runs several times, `PATTERN@*` all
of them. Where several patterns are taken, one string is one pattern. `hierarchy[pattern]` is the only call of that name.

**Records.** Functions return records: frozen, with fields as attributes, equal to what `--json` prints (`record.model_dump_json()`).
`print(record)` gives a sentence or a table, a notebook a table. Their fields are at the end of this page.

**Progress.** Nothing is printed. `progress` is called with what is being done, how many items are done, and how many there are (0 where it has
no items). Exports that differ from PyTorch log a warning.

**Errors.** What a user can act on is an `hx.HxError`: `message`, `code` ([errors.md](errors.md)), `hint`, and `argument`, the name of the
argument that helps, where there is one. A traceback shows code and hint. `ValueError`, `IndexError` and `TypeError` are about calls that no
model could make right.
"""
RECORDS = """## Records

What each field means is in the JSON Schemas: `hx.schema.published_schema("verify-1.1.json")`; `hx.schema.schema_names()` are all names.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION]
    for task, names in TASKS.items():
        parts += [f"## {task}\n", *(_entry(name, getattr(hx, name)) for name in names)]
    parts += [RECORDS, *(_fields(record) for record in [*REPORTS.values(), DemoReport])]
    return "\n".join(parts) + "\n"


def _entry(name: str, thing: Any) -> str:
    text = OTHERS.get(name) or inspect.getdoc(thing) or ""
    if isinstance(thing, FunctionType):
        signature = inspect.signature(thing)
        lines = "\n".join(f"    {line}," for line in _parameters(signature))
        text = f"```python\nhx.{name}(\n{lines}\n) -> {signature.return_annotation}\n```\n\n{_markdown(text)}"
    elif inspect.isclass(thing):
        text = _markdown(re.split(r"\n(?=(?:Args|Raises):\n)", text)[0])  # hx makes most of them
        members = [
            f"* `{_member(member, value)}`: {_first(inspect.getdoc(value))}"
            for member, value in _public(thing).items()
            if inspect.getdoc(value)
        ]
        if is_dataclass(thing) and "Attributes" not in (inspect.getdoc(thing) or ""):
            names = [f"`{field.name}`" for field in fields(thing) if field.repr]
            members.insert(0, f"* Fields: {', '.join(names)}")
        text = "\n\n".join([text, *(["\n".join(members)] if members else [])])
    return f"### `hx.{name}`\n\n{text}\n"


def _parameters(signature: inspect.Signature) -> list[str]:
    """Return parameters as they are written, `self` left out; default functions by their names."""
    shown: list[str] = []
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        default = parameter.default
        text = "**" * (parameter.kind is parameter.VAR_KEYWORD) + f"{name}: {parameter.annotation}"
        if default is not parameter.empty:
            text += f" = {getattr(default, '__name__', json.dumps(default) if isinstance(default, str) else default)}"
        shown += [text] if name not in ("self", "cls") else []
    return shown


def _public(cls: type) -> dict[str, Any]:
    """Return the methods and properties that a class defines itself, special ones of sequences included."""
    special = ("__getitem__", "__iter__", "__len__")
    return {
        name: value
        for name, value in vars(cls).items()
        if (not name.startswith("_") or name in special)
        and (callable(value) or isinstance(value, property | classmethod) or hasattr(value, "attrname"))
    }


def _member(name: str, value: Any) -> str:
    value = getattr(value, "__func__", value)
    if not isinstance(value, FunctionType):
        return name
    return f"{name}({', '.join(_parameters(inspect.signature(value)))})"


def _first(text: str | None) -> str:
    return re.split(r"\n\s*\n", text or "")[0].replace("\n", " ")


def _markdown(text: str) -> str:
    """Return a docstring of Google style as Markdown: arguments as a list, the example as code."""
    blocks: list[str] = []
    for section in re.split(r"\n(?=(?:Args|Attributes|Returns|Raises|Example):\n)", text):
        title, _, body = section.partition(":\n")
        lines = inspect.cleandoc(body)
        if title in ("Args", "Attributes"):
            items = re.split(r"\n(?=\S)", lines)
            blocks.append("\n".join(re.sub(r"^(\**\w+): ", r"* `\1`: ", " ".join(i.split())) for i in items))
        elif title == "Example":
            blocks.append(f"```python\n{lines}\n```")
        elif title in ("Returns", "Raises"):
            blocks.append(f"{title}: {' '.join(lines.split())}")
        else:
            blocks.append(section.strip())
    return "\n\n".join(blocks)


def _fields(record: type[Any]) -> str:
    fields = ", ".join(f"`{name}`" for name in record.model_fields if name != "schema_version")
    return f"* **{record.__name__}**: {fields}"


if __name__ == "__main__":
    main()
