"""What the units of the shares of a model's calls found, on its way to the unit of the model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hx.files import model_files
from hx.records.extract import ExtractReport
from hx.records.fleet import StepRow
from hx.records.report import Report
from hx_fleet._units import RunFolder, Unit

Found = TypeVar("Found", bound=Report)


class ShareEnded(Exception):
    """A step of one share did not come to its end."""

    def __init__(self, row: StepRow, log: str) -> None:
        """Take how it ended, and the name of the log that says more."""
        super().__init__(row.cause)
        self.row, self.log = row, log


@dataclass(frozen=True)
class Shares:
    """The shares of one model."""

    folder: RunFolder
    units: Sequence[Unit]

    def rows(self, step: str) -> dict[str, StepRow]:
        """Return how a step ended, of each share, by the name of its unit."""
        results = [self.folder.read(unit.id) for unit in self.units]
        return {result.unit: row for result in results if result for row in result.steps if row.step == step}

    def reports(self, step: str, record: type[Found]) -> list[Found]:
        """Return what a step found, of each share that has calls; nothing where there are no shares.

        Raises:
            ShareEnded: If one failed, or none had anything to do.
        """
        rows = self.rows(step)
        failed = {unit: row for unit, row in rows.items() if row.status == "failed"}
        if failed or (rows and all(row.status == "skipped" for row in rows.values())):
            unit, row = next(iter((failed or rows).items()))
            raise ShareEnded(row, self.folder.log(unit).name)
        files = [self.folder.artefacts(unit.id) / file_of(step) for unit in self.units]
        return [record.model_validate_json(file.read_bytes()) for file in files if file.exists()]

    def parts(self, reports: Sequence[ExtractReport], order: Sequence[tuple[str, int]], output: Path) -> ExtractReport:
        """Put together what the shares cut out, in the order of the calls; the files are then in one folder too.

        They stay where they are as well: this process may be killed, and begin again.
        """
        output.mkdir()
        for unit in self.units:
            for model in (self.folder.artefacts(unit.id) / output).glob("*.onnx"):
                for file in model_files(model):
                    if file.exists():
                        os.link(file, output / file.name)
        entries = {(entry.fqn, entry.call): entry for report in reports for entry in report.modules}
        fields = {name: sum(getattr(report, name) for report in reports) for name in ("mismatches", "refused")}
        modules = [entries[key] for key in order]
        return reports[0].model_copy(update={**fields, "output": str(output), "modules": modules})


def leave(report: Report, step: str) -> None:
    """Write what a step found into the current folder."""
    file_of(step).write_text(report.model_dump_json(), encoding="utf-8")


def file_of(step: str) -> Path:
    """Return the file that holds what a step found, in the folder in which its unit works."""
    return Path(f"{step}.json")
