"""A profile as a flame graph: one HTML file that opens from disk and loads nothing."""

import json
from importlib.resources import files
from typing import Any

from hx_profiler._records import Profile
from hx_profiler.formats.stacks import UNATTRIBUTED, Frame, label


def to_html(profile: Profile) -> str:
    """Return a profile as an HTML page: a flame graph whose boxes are calls and kernels, as wide as their time."""
    page = files("hx_profiler").joinpath("flame.html").read_text(encoding="utf-8")
    data = {
        "model": profile.model,
        "facts": _facts(profile),
        "notes": profile.notes,
        "runs": max(profile.runs, 1),
        "boxes": _in_rows(_tree(profile)),
    }
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # no tag can begin in the text of a script
    return page.replace("/*DATA*/", text)


def _facts(profile: Profile) -> str:
    settings = profile.settings
    facts = [f"sum of {profile.runs} runs"]
    facts += [f"optimization {settings.optimization}"] if settings.optimization else []
    facts += [name.removesuffix("ExecutionProvider") for name in settings.providers]
    facts += [f"threads {settings.threads}"] if settings.threads else []
    facts += [f"ONNX Runtime {settings.onnxruntime}"] if settings.onnxruntime else []
    return ", ".join(facts)


def _tree(profile: Profile) -> dict[str, Any]:
    boxes: list[dict[str, Any]] = [
        _box("call", label(profile, Frame("call", position), short=True), call.tag, call.self_us, call.total_us)
        | {"class": call.class_name, "facts": [["module", call.fqn or "the model"], ["kernels", str(call.kernels)]]}
        for position, call in enumerate(profile.calls)
    ]
    rest = _box("unattributed", UNATTRIBUTED, UNATTRIBUTED, 0, profile.unattributed_us)
    for position, kernel in enumerate(profile.kernels):
        title = label(profile, Frame("kernel", position))
        box: dict[str, Any] = _box("kernel", kernel.op_type, title, kernel.self_us, kernel.self_us) | {
            "class": kernel.op_type,
            "covers": [profile.calls[call].tag for call in kernel.covers],
            "facts": [["provider", kernel.provider], *([["", kernel.reason]] if kernel.reason else [])],
        }
        (rest if kernel.call is None else boxes[kernel.call])["children"].append(box)
    for box, call in zip(boxes, profile.calls, strict=True):
        if call.parent is not None and box["total"] > 0:
            boxes[call.parent]["children"].append(box)
    if not boxes:
        return rest
    if not rest["children"]:
        return boxes[0]
    return _box("call", profile.model, profile.model, 0, profile.kernels_us) | {"children": [boxes[0], rest]}


def _in_rows(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the boxes of a tree, a parent before its children, with its row: no encoder has to follow them down."""
    rows: list[dict[str, Any]] = []
    pending: list[tuple[dict[str, Any], int | None]] = [(tree, None)]
    while pending:
        box, parent = pending.pop()
        pending += [(child, len(rows)) for child in reversed(box.pop("children"))]
        rows.append(box | {"parent": parent})
    return rows


def _box(kind: str, name: str, title: str, self_us: int, total_us: int) -> dict[str, Any]:
    box = {"kind": kind, "name": name, "title": title, "class": "", "self": self_us, "total": total_us}
    return box | {"covers": [], "facts": [], "children": []}
