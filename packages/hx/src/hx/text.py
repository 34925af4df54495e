"""Numbers and names as people read them."""

import re
from collections.abc import Sequence

TIMES = "\N{MULTIPLICATION SIGN}"


def count(number: int) -> str:
    """Return a number of things in at most four digits: 950, 31.2 k, 124 M."""
    value, unit = float(number), ""
    for unit in ("", " k", " M", " G", " T"):
        if value < 999.5 or unit == " T":
            break
        value /= 1000
    return f"{value:.3g}{unit}" if unit else str(number)


def size(size_bytes: int) -> str:
    """Return a file size in decimal units."""
    return f"{count(size_bytes)}B" if size_bytes >= 1000 else f"{size_bytes} B"


def percent(value: float) -> str:
    """Return a percentage; 100 only where it is 100."""
    return f"{min(value, 99.9) if value < 100 else 100:.1f} %".replace("100.0 %", "100 %")


def number(value: float | None) -> str:
    """Return an error with two digits; exact equality as 0."""
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def plural(amount: int, one: str, many: str | None = None) -> str:
    """Return `1 call`, `2 calls`."""
    return f"{amount} {one if amount == 1 else many or one + 's'}"


def kind(text: str) -> str:
    """Return a message without its numbers and names in quotes: the same for messages that differ in these alone."""
    return re.sub(r"'[^']*'|\d+(\.\d+)?(e[-+]?\d+)?", "#", text)


def shape(dims: Sequence[int | str]) -> str:
    """Return sizes with a times sign between; symbols as they are, a scalar in words."""
    return TIMES.join(map(str, dims)) if dims else "scalar"


def duration(us: float | None) -> str:
    """Return microseconds with three digits and a unit."""
    if us is None:
        return ""
    for limit, scale, unit in ((999.5, 1, "us"), (999_500, 1e3, "ms")):
        if abs(us) < limit:
            return f"{us / scale:.3g} {unit}" if abs(us) >= 1 or us == 0 else f"{us:.1f} us"
    return f"{us / 1e6:.3g} s"


def ending(text: str, room: int) -> str:
    """Return a name whose end fits; the end says more than the start."""
    return text if len(text) <= room else f"…{text[1 - room :]}"
