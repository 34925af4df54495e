"""What `hx.suite` returns and `hx suite --json` prints."""

from pydantic import Field

from hx.records.report import Report
from hx.text import plural
from hx_sidecar_schema import FileName
from hx_surgery import LeftOut, Manifest, SuiteCase, SuiteModel

__all__ = ["LeftOut", "Manifest", "SuiteCase", "SuiteModel", "SuiteReport"]


class SuiteReport(Report):
    """What `hx suite` wrote."""

    output: FileName = Field(description="The folder.")
    suite: Manifest = Field(description="What its `manifest.json` holds.")
    written: int = Field(description="Files that are new, or other than they were; the rest was left as it is.")
    removed: list[str] = Field(description="Files of cases that are no part of the suite any more.")
    changed: list[str] = Field(description="Such files that somebody has changed since: they are still there.")

    def __str__(self) -> str:
        """Return a sentence."""
        calls, cases = sum(model.calls for model in self.suite.models), len(self.suite.cases)
        unit = "node" if self.suite.by == "operator" else "call"
        of = plural(len([model for model in self.suite.models if not model.reason]), "model")
        return f"{plural(cases, 'case')} of {plural(calls, unit)} in {of}: {plural(self.written, 'file')} written"
