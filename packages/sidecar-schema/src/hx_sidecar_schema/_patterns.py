"""Naming calls: a tag, a tag pattern, an fqn or glob, a class name, each with an optional index."""

import difflib
import re
from collections.abc import Sequence

from hx_sidecar_schema._errors import UnknownCall
from hx_sidecar_schema._records import Module
from hx_sidecar_schema._sidecar import Sidecar
from hx_sidecar_schema._tags import simple_name


def find_calls(sidecar: Sidecar, pattern: str | Sequence[str]) -> list[int]:
    """Return the rows of the calls that a pattern, or one of several, names, in execution order.

    A pattern is a tag (`/BertModel/BertEncoder/BertLayer.0`), a tag with `...` for any number of segments and `*` inside
    one, an fqn or fqn glob (`encoder.layer.*.attention.self`), or a bare class name. It ends in `@2` for a later call, `@*`
    for all calls; else it names the first call of each module. `2/4` names every fourth call from the second on, whatever it is.

    Raises:
        HxError: HX401 if nothing matches; names the three closest.
    """
    patterns = [pattern] if isinstance(pattern, str) else pattern
    return sorted({row for one in patterns for row in _named(sidecar, one)})


def share_of(pattern: str) -> tuple[int, int] | None:
    """Return which share of all calls a pattern names, from 1, and how many shares there are; None of another pattern."""
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", pattern)
    return (int(match[1]), int(match[2])) if match else None


def _named(sidecar: Sidecar, pattern: str) -> list[int]:
    body, _, index = pattern.partition("@")
    rows: list[int] = []
    if (share := share_of(pattern)) and share[0] <= share[1]:
        rows = [*range(share[0] - 1, len(sidecar.calls), share[1])]
    elif index in ("", "*") or index.isdigit():
        rows = [
            row
            for row, call in enumerate(sidecar.calls)
            if (index == "*" or call.index == int(index or 0)) and _matches(sidecar.module_of(call), body)
        ]
    if rows:
        return rows
    called = {call.module for call in sidecar.calls}
    silent = (one for row, one in enumerate(sidecar.modules) if row not in called and _matches(one, body))
    if (holder := next(silent, None)) is not None:
        what = f"{holder.fqn!r} is a {simple_name(holder.class_name)}, which was not called itself"
        message = f"No module call matches {pattern!r}: {what}."
        raise UnknownCall(message, hint=f"Name what it holds, like '{holder.fqn}.*'; `hx tree` shows every call.")
    modules = [sidecar.modules[row] for row in sorted(called)]
    names = {name for one in modules for name in (one.tag, one.fqn, simple_name(one.class_name)) if name}
    closest = difflib.get_close_matches(body, sorted(names), n=3, cutoff=0.0)
    beyond = index.isdigit() and any(call.index for call in sidecar.calls)
    counted = "; indices after `@` count a module's calls from 0" if beyond else ""
    message = f"No module call matches {pattern!r}; the closest are {', '.join(map(repr, closest))}."
    raise UnknownCall(message, hint=f"Run `hx tree` to see every module{counted}.")


def _matches(module: Module, body: str) -> bool:
    if body.startswith("/"):
        segments = body.strip("/").split("/")
        parts = [r"(?:/[^/]+)*" if one == "..." else "/" + _glob(one, r"[^/]*") for one in segments]
        return re.fullmatch("".join(parts), module.tag) is not None
    names = (module.fqn, *module.aliases)
    return body == simple_name(module.class_name) or any(re.fullmatch(_glob(body, r"[^.]*"), name) for name in names)


def _glob(text: str, anything: str) -> str:
    """Return a regular expression of a text in which `*` stands for `anything`."""
    return re.escape(text).replace(r"\*", anything)
