"""Time by module: all calls of one module together."""

from __future__ import annotations

from dataclasses import dataclass

from hx_profiler._records import Profile


@dataclass(frozen=True)
class ModuleTime:
    """The time of all calls of one module.

    Attributes:
        fqn: Its fully qualified name; empty for the root.
        class_name: Its qualified class.
        calls: Number of its calls.
        self_us: Sum of the medians by run of its own kernels, in microseconds. It leaves out what interrupts another
            kernel in each run.
        total_us: The same with the kernels of calls below. Of a module that runs inside itself, only the outermost calls
            count.
        kernels: Number of nodes of the executed graph, those of calls below included.
    """

    fqn: str
    class_name: str
    calls: int
    self_us: float
    total_us: float
    kernels: int


def by_module(profile: Profile) -> list[ModuleTime]:
    """Return the modules of a profile, in the order of their first calls."""
    found: dict[str, ModuleTime] = {}
    for position, call in enumerate(profile.calls):
        before = found.get(call.fqn, ModuleTime(call.fqn, call.class_name, call.calls, 0.0, 0.0, 0))
        outermost = not _inside_itself(profile, position)
        found[call.fqn] = ModuleTime(
            call.fqn,
            call.class_name,
            call.calls,
            before.self_us + call.self_typical_us,
            before.total_us + (call.typical_us if outermost else 0.0),
            before.kernels + (call.kernels if outermost else 0),
        )
    return list(found.values())


def slowest(profile: Profile) -> list[ModuleTime]:
    """Return the modules by their own time, the slowest first."""
    return sorted(by_module(profile), key=lambda module: -module.self_us)


def _inside_itself(profile: Profile, position: int) -> bool:
    fqn, above = profile.calls[position].fqn, profile.calls[position].parent
    while above is not None:
        if profile.calls[above].fqn == fqn:
            return True
        above = profile.calls[above].parent
    return False
