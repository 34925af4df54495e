"""What `hx profile --isolated --json` prints; without --isolated it is a `hx_profiler.Profile`."""

from __future__ import annotations

from hx.records.reports import REPORT_VERSION, Report
from hx_profiler import IsolatedCall, Settings


class IsolatedReport(Report):
    """Calls timed alone, beside their time in the whole model."""

    schema_version: str = REPORT_VERSION
    model: str
    settings: Settings
    runs: int
    calls: list[IsolatedCall]
