"""A profile as a flame graph: one HTML file that opens from disk and loads nothing."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from hx_profiler._records import CallTime, Kernel, Profile
from hx_profiler.formats.stacks import UNATTRIBUTED, Frame, label

_PLACE = "/*DATA*/"


def to_html(profile: Profile) -> str:
    """Return a profile as an HTML page: a flame graph whose boxes are calls and kernels, as wide as their time."""
    page = files("hx_profiler").joinpath("flame.html").read_text(encoding="utf-8")
    data = {
        "model": profile.model,
        "facts": _facts(profile),
        "notes": profile.notes,
        "runs": max(profile.runs, 1),
        "tree": _tree(profile),
    }
    # No tag can begin in the text of a script.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return page.replace(_PLACE, text)


def _facts(profile: Profile) -> str:
    settings = profile.settings
    facts = [f"sum of {profile.runs} runs"]
    facts += [f"optimization {settings.optimization}"] if settings.optimization else []
    facts += [name.removesuffix("ExecutionProvider") for name in settings.providers]
    facts += [f"threads {settings.threads}"] if settings.threads else []
    facts += [f"ONNX Runtime {settings.onnxruntime}"] if settings.onnxruntime else []
    return ", ".join(facts)


def _tree(profile: Profile) -> dict[str, Any]:
    boxes = [_call(profile, position, call) for position, call in enumerate(profile.calls)]
    lost: list[dict[str, Any]] = []
    for position, kernel in enumerate(profile.kernels):
        (lost if kernel.call is None else boxes[kernel.call]["children"]).append(_kernel(profile, position, kernel))
    for box, call in zip(boxes, profile.calls, strict=True):
        if call.parent is not None and box["total"] > 0:
            boxes[call.parent]["children"].append(box)
    rest = _box("unattributed", UNATTRIBUTED, UNATTRIBUTED, 0, profile.unattributed_us, lost)
    if not boxes:
        return rest
    if not lost:
        return boxes[0]
    return _box("call", profile.model, profile.model, 0, profile.kernels_us, [boxes[0], rest])


def _call(profile: Profile, position: int, call: CallTime) -> dict[str, Any]:
    box = _box(
        "call",
        label(profile, Frame("call", position), short=True),
        call.tag,
        call.self_us,
        call.total_us,
        [],
        cls=call.class_name,
    )
    box["facts"] = [["module", call.fqn or "the model"], ["kernels", str(call.kernels)]]
    return box


def _kernel(profile: Profile, position: int, kernel: Kernel) -> dict[str, Any]:
    name = label(profile, Frame("kernel", position))
    box = _box("kernel", kernel.op_type, name, kernel.self_us, kernel.self_us, [], cls=kernel.op_type)
    box["covers"] = [profile.calls[call].tag for call in kernel.covers]
    box["facts"] = [["provider", kernel.provider], *([["", kernel.reason]] if kernel.reason else [])]
    return box


def _box(
    kind: str, name: str, title: str, self_us: int, total_us: int, children: list[dict[str, Any]], cls: str = ""
) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "title": title,
        "class": cls,
        "self": self_us,
        "total": total_us,
        "covers": [],
        "facts": [],
        "children": children,
    }
