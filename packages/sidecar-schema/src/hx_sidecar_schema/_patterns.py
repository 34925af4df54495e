"""Naming calls: a tag, a tag pattern, an fqn or glob, a class name, each with an optional index."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from hx_sidecar_schema._errors import HxError
from hx_sidecar_schema._sidecar import Sidecar
from hx_sidecar_schema._tags import simple_name


def find_calls(sidecar: Sidecar, pattern: str | Sequence[str]) -> list[int]:
    """Return the rows of the calls that a pattern, or one of several, names, in execution order.

    Args:
        sidecar: Where to look.
        pattern: A tag (`/BertModel/BertEncoder/BertLayer.0`), a tag with `...` for any number of segments and
            `*` inside one, an fqn or fqn glob (`encoder.layer.*.attention.self`), or a bare class name. Ends in
            `@2` for a later call, `@*` for all calls; else the first call of each module.

    Raises:
        HxError: HX401 if nothing matches; names the three closest.
    """
    patterns = [pattern] if isinstance(pattern, str) else pattern
    return sorted({row for one in patterns for row in _named(sidecar, one)})


def _named(sidecar: Sidecar, pattern: str) -> list[int]:
    body, _, index = pattern.partition("@")
    if index and index != "*" and not index.isdigit():
        raise _no_match(sidecar, pattern)
    rows = [
        row
        for row, call in enumerate(sidecar.calls)
        if (index == "*" or call.index == int(index or 0)) and _matches(sidecar, row, body)
    ]
    if not rows:
        raise _no_match(sidecar, pattern)
    return rows


def _matches(sidecar: Sidecar, row: int, body: str) -> bool:
    module = sidecar.module_of(sidecar.calls[row])
    if body.startswith("/"):
        return _tag_regex(body).fullmatch(module.tag) is not None
    if body == simple_name(module.class_name):
        return True
    glob = re.compile(re.escape(body).replace(r"\*", r"[^.]*"))
    return any(glob.fullmatch(name) for name in (module.fqn, *module.aliases))


def _tag_regex(body: str) -> re.Pattern[str]:
    parts: list[str] = []
    for segment in body.strip("/").split("/"):
        if segment == "...":
            parts.append(r"(?:/[^/]+)*")
        else:
            parts.append("/" + re.escape(segment).replace(r"\*", "[^/]*"))
    return re.compile("".join(parts))


def _no_match(sidecar: Sidecar, pattern: str) -> HxError:
    body = pattern.partition("@")[0]
    names: set[str] = set()
    for module in sidecar.modules:
        names |= {module.tag, module.fqn, simple_name(module.class_name)}
    closest = difflib.get_close_matches(body, sorted(names - {""}), n=3, cutoff=0.0)
    counts = {c.index for c in sidecar.calls}
    beyond = "@" in pattern and pattern.rpartition("@")[2].isdigit() and max(counts, default=0) > 0
    return HxError(
        f"No module call matches {pattern!r}; the closest are {', '.join(map(repr, closest))}.",
        code="HX401",
        hint="Run `hx tree` to see every module"
        + ("; indices after `@` count a module's calls from 0." if beyond else "."),
    )
