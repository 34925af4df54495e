"""The one exception type that users see: what is wrong, a stable code, one thing to do."""

from __future__ import annotations


class HxError(Exception):
    """A failure that the user can act on.

    Args:
        message: What is wrong, with the offending value as its `repr`.
        code: Stable identifier, `HX` and three digits, listed in `docs/errors.md`.
        hint: One imperative next step.
    """

    def __init__(self, message: str, *, code: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint

    @property
    def message(self) -> str:
        return str(self.args[0])
