"""Names as one line of text that can be seen, for people and programs that show what a model's names contain."""

from hashlib import sha256
from unicodedata import category

NAME_LENGTH = 200
"""A longer name is cut. Names made of scopes stay below."""


def visible(text: str, limit: int | None = NAME_LENGTH) -> str:
    """Return a name as one line of characters that can be seen: others escaped, a long one cut in its middle.

    Control characters would colour a terminal, marks of direction reorder what stands beside them. Two names may become one
    text where one of them is cut or escaped: a digest of the whole name then stands behind it, and tells them apart.
    """
    if text.isascii() and text.isprintable() and (limit is None or len(text) <= limit):
        return text
    shown = "".join(c if c == " " or category(c)[0] not in "CZ" else c.encode("unicode_escape").decode() for c in text)
    if limit is not None and len(shown) > limit:
        shown = f"{shown[: limit // 2]}\N{HORIZONTAL ELLIPSIS}{shown[-limit // 2 :]}"
    return shown if shown == text else f"{shown} ~{sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"
