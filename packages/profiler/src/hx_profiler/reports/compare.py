"""The difference of two profiles, by module."""

from __future__ import annotations

from pydantic import Field

from hx_profiler._records import PROFILE_VERSION, ROWS_IN_NOTEBOOKS, Profile, Settings
from hx_profiler.reports.modules import ModuleTime, by_module
from hx_sidecar_schema import Record, Table


class ModuleChange(Record):
    """The times of one module in two profiles: sums of the medians of its kernels, in microseconds by run."""

    fqn: str
    class_name: str
    before_us: float | None = Field(description="Total; null where the first profile does not have the module.")
    after_us: float | None = Field(description="Total; null where the second profile does not have it.")
    change_us: float = Field(description="After less before; a module that is not there counts as 0.")
    ratio: float | None = Field(description="After / before; null where either is null, or before is 0.")
    self_before_us: float | None = Field(description="As `before_us`, of the module's own kernels.")
    self_after_us: float | None = Field(description="As `after_us`, of the module's own kernels.")
    self_change_us: float = Field(description="As `change_us`, of the module's own kernels.")
    kernels: tuple[int, int] = Field(description="Number of nodes of each executed graph.")


class ProfileComparison(Record):
    """Two profiles by module, the largest change of a module's own time first."""

    schema_version: str = PROFILE_VERSION
    before: str
    after: str
    settings: tuple[Settings, Settings]
    runs: tuple[int, int]
    run_us: tuple[float, float] = Field(description="Sum of the medians by run of all kernels, in each profile.")
    ratio: float | None = Field(description="Of `run_us`, after / before; null where before is 0.")
    unattributed_us: tuple[float, float] = Field(description="Mean by run of what is unattributed.")
    modules: list[ModuleChange]

    def __str__(self) -> str:
        """Return one line a module."""
        return self._table(len(self.modules)).to_text()

    def _table(self, limit: int = ROWS_IN_NOTEBOOKS) -> Table:
        rows = [
            (module.fqn or "the model itself", module.before_us, module.after_us, module.self_change_us)
            for module in self.modules[:limit]
        ]
        before, after = self.run_us
        return Table(
            f"{self.before}, then {self.after}: {before:.0f} us a run, then {after:.0f} us",
            ("module", "us before", "us after", "own us more"),
            rows,
            note=f"and {len(self.modules) - limit} more modules" if len(self.modules) > limit else "",
        )


def compare(before: Profile, after: Profile) -> ProfileComparison:
    """Compare two profiles; modules are matched by their fully qualified names."""
    left = {module.fqn: module for module in by_module(before)}
    right = {module.fqn: module for module in by_module(after)}
    changes = [_change(left.get(fqn), right.get(fqn)) for fqn in dict.fromkeys([*left, *right])]
    totals = (before.typical_us, after.typical_us)
    return ProfileComparison(
        before=before.model,
        after=after.model,
        settings=(before.settings, after.settings),
        runs=(before.runs, after.runs),
        run_us=totals,
        ratio=totals[1] / totals[0] if totals[0] else None,
        unattributed_us=(_lost(before), _lost(after)),
        modules=sorted(changes, key=lambda change: -abs(change.self_change_us)),
    )


def _lost(profile: Profile) -> float:
    return profile.unattributed_us / max(profile.runs, 1)


def _change(left: ModuleTime | None, right: ModuleTime | None) -> ModuleChange:
    known = left or right
    assert known is not None
    before, after = (left.total_us if left else None), (right.total_us if right else None)
    own = (left.self_us if left else None), (right.self_us if right else None)
    return ModuleChange(
        fqn=known.fqn,
        class_name=known.class_name,
        before_us=before,
        after_us=after,
        change_us=(after or 0.0) - (before or 0.0),
        ratio=after / before if before and after is not None else None,
        self_before_us=own[0],
        self_after_us=own[1],
        self_change_us=(own[1] or 0.0) - (own[0] or 0.0),
        kernels=(left.kernels if left else 0, right.kernels if right else 0),
    )
