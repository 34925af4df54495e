"""What `hx profile --isolated --json` prints; without --isolated it is a `hx_profiler.Profile`."""

from __future__ import annotations

from hx.records.report import REPORT_VERSION, Report
from hx_profiler import IsolatedCall, Settings


class IsolatedReport(Report):
    """Calls timed alone, beside their time in the whole model."""

    schema_version: str = REPORT_VERSION
    model: str
    settings: Settings
    runs: int
    calls: list[IsolatedCall]

    def __str__(self) -> str:
        """Return one line a call."""
        return "\n".join(
            f"{call.tag}: {call.in_model_us:.0f} us in the model, {call.alone_us or 0:.0f} us alone"
            for call in self.calls
        )
