"""Paths of calls, as viewers of graphs group nodes by them."""

from hx_sidecar_schema._sidecar import Sidecar
from hx_sidecar_schema._tags import simple_name
from hx_sidecar_schema._visible import visible

SLASH = "\N{DIVISION SLASH}"
"""Stands for a slash in a name: the plain one parts segments."""
SHOWN = 80
"""Characters of a name or class; groups are as wide as what they are called."""


def namespaces(sidecar: Sidecar) -> list[str]:
    """Return for each call the path of calls that leads to it: `encoder: Encoder/layer.1: Layer`; no two are equal.

    The root's is empty. A segment is the module's name below that of the calling module, `@1` and so on for later calls, and the
    class; the whole name where the calling module does not hold it. A module that never ran has a path of its own.
    """
    paths: list[str] = []
    taken: set[str] = set()
    for row, call in enumerate(sidecar.calls):
        module = sidecar.module_of(call)
        above = "" if call.parent is None else sidecar.module_of(sidecar.calls[call.parent]).fqn
        name = visible(module.fqn.removeprefix(f"{above}.") if above else module.fqn, SHOWN)
        words = [f"{name}@{call.index}" if call.index else name, visible(simple_name(module.class_name), SHOWN)]
        segment = ": ".join(word for word in words if word).replace("/", SLASH)
        around = "" if call.parent is None else paths[call.parent]
        path = "" if row == 0 else f"{around}/{segment}" if around else segment
        number, unique = 2, path
        while unique in taken:
            number, unique = number + 1, f"{path} #{number}"
        taken.add(unique)
        paths.append(unique)
    return paths
