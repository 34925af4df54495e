"""Names that ONNX Runtime gives to what it inlines, read back.

Of a function of a module call, what is called NAME becomes `_inlfunc_FUNCTION_NAME`, in a later call `_inlfunc_FUNCTION_token_7_NAME`
(ONNX Runtime 1.31). That tells it among those of one call; which call it is, is found once for all that have the prefix.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping

from hx_projector.relinking.original import InlinedName

_PREFIX = "_inlfunc_"


class InlinedNames:
    """Values of the original by what ONNX Runtime calls them or their nodes, where they were inside functions of module calls.

    Args:
        names: What they were called in the functions.
        name_inside: Returns which of some names has another one before or behind it.
    """

    def __init__(self, names: Iterable[InlinedName], name_inside: Callable[[str, Container[str]], str | None]) -> None:
        """Index the names."""
        self._name_inside = name_inside
        self._inside: dict[str, dict[str, list[tuple[int, str]]]] = {}
        self._numbers: dict[str, int] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._calls: dict[str, int] = {}
        for value, of_node, function, number, name in names:
            self._inside.setdefault(function, {}).setdefault(name, []).append((number, value))
            self._numbers[value] = number
            if not of_node:
                self._names[value] = f"{_PREFIX}{function}_", f"_{name}"

    def __bool__(self) -> bool:
        """Say whether anything was inside functions."""
        return bool(self._inside)

    def learn(self, counterpart: Mapping[str, str]) -> None:
        """Take values with their counterparts: they tell which call their prefix stands for."""
        for name, value in counterpart.items():
            if value in self._numbers and (parts := self._parts(name)) is not None:
                self._calls.setdefault(parts[0], self._numbers[value])

    def is_name_of(self, name: str, value: str) -> bool:
        """Say whether a name is what ONNX Runtime calls a value of the original that it kept."""
        start, end = self._names.get(value, ("", ""))
        return bool(start) and name.startswith(start) and name.endswith(end)

    def candidate(self, name: str, members: Container[str]) -> str | None:
        """Return the only one of some values of the original that a name, of a value or of its node, can stand for."""
        parts = self._parts(name)
        if parts is None:
            return None
        prefix, places = parts
        call = self._calls.get(prefix)
        found = {value for number, value in places if value in members and call in (None, number)}
        return found.pop() if len(found) == 1 else None

    def _parts(self, name: str) -> tuple[str, list[tuple[int, str]]] | None:
        """Return the prefix of a name, and what the rest is called in the function that it names; None for another name."""
        if not name.startswith(_PREFIX):
            return None
        for end in re.finditer("_", name.removeprefix(_PREFIX)):
            start = len(_PREFIX) + end.end()
            if (known := self._inside.get(name[len(_PREFIX) : start - 1])) is None:
                continue
            token = re.compile(r"token_\d+_").match(name, start)
            for begin in (token.end(), start) if token else (start,):
                inner = name[begin:] if name[begin:] in known else self._name_inside(name[begin:], known)
                if inner is not None:
                    return name[:begin], known[inner]
        return None
