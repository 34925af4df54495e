"""A few sets that together hold all that many hold."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def cover(sets: Mapping[Key, frozenset[str]], sizes: Mapping[Key, int]) -> list[Key]:
    """Return few of the sets that together hold what all hold: always the one that adds most, of equals the smallest, then the first.

    Sets that others made needless are left out again, and each that is left gives way to the smallest that holds what it alone
    holds. To find the fewest would take time beyond any bound; this takes at most 1 + ln(n) times as many, where n is the size
    of the largest set (Chvátal 1979).
    """
    wanted = set[str]().union(*sets.values())
    left, chosen = dict(sets), list[Key]()
    while wanted:
        best = max(left, key=lambda key: (len(left[key] & wanted), -sizes[key]))  # max returns the first of equals
        chosen.append(best)
        wanted -= left.pop(best)
    for key in sorted(chosen, key=lambda key: -sizes[key]):
        chosen.remove(key)
        alone = sets[key].difference(*(sets[other] for other in chosen))
        if alone:
            chosen.append(min((other for other in sets if alone <= sets[other]), key=lambda other: sizes[other]))
    return chosen
