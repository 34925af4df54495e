"""What `hx.profile` and its kin return and `hx profile --json` prints: mostly records of `hx_profiler`."""

from hx.records.report import Report
from hx_profiler import (
    AloneCall,
    CallTime,
    IsolatedCall,
    Kernel,
    ModuleChange,
    Profile,
    ProfileComparison,
    Settings,
    slowest,
)
from hx_sidecar_schema import Table

__all__ = [
    "AloneCall",
    "AloneReport",
    "CallTime",
    "IsolatedCall",
    "IsolatedReport",
    "Kernel",
    "ModuleChange",
    "Profile",
    "ProfileComparison",
    "slowest",
]


class AloneReport(Report):
    """Calls timed alone."""

    model: str
    calls: list[AloneCall]


class IsolatedReport(Report):
    """Calls timed alone, beside their time in the whole model."""

    schema_version: str = "1.1"
    model: str
    settings: Settings
    runs: int
    calls: list[IsolatedCall]

    def __str__(self) -> str:
        """Return one line a call."""
        return self._table().to_text()

    def _table(self) -> Table:
        rows = [(call.tag, call.in_model_us, call.alone_us, call.reason) for call in self.calls]
        return Table(f"{self.model}: calls timed alone", ("call", "us in the model", "us alone", ""), rows)
