"""What a run's folder holds: one unit of work for each model, and its result, which is written once."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hx.files import SIDECAR_SUFFIX, file_stem, model_files
from hx.records.fleet import BY_CALL, CallRow, ModelResult, StepRow
from hx_sidecar_schema import HxError, finish_writes

LOCK = "run.lock"
HELD: set[tuple[int, Path]] = set()
"""Locks and the process that has each: the system would give it one again, and take both back when one is closed."""
FILES = {
    "export": Path("model.onnx"),
    "project": Path(f"projected{SIDECAR_SUFFIX}"),
    "extract": Path("parts"),
    "profile_isolated": Path("profile_isolated.json"),
    "suite": Path("suite"),
}
"""What steps leave in the folder in which a unit works."""


@dataclass(frozen=True)
class Unit:
    """One model with its steps: what one process runs. All paths are absolute."""

    name: str
    """What rows call the model."""
    model: str
    loading: dict[str, Any] = field(default_factory=dict[str, Any])
    """What `hx.ModelSpec` takes beside the model."""
    against: str | None = None
    base: str = ""
    """Folder that the run's relative paths start from; its modules can be imported."""
    written: Sequence[str | None] = ()
    """`model` and `against` as the list has them."""
    steps: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    """Name of each step, what it is called with absolute paths, and its options."""
    keep: Sequence[str] = ()
    timeout_s: float = 600
    memory_bytes: int | None = None
    retries: int = 2
    shares: int = 1
    """Into how many the calls are divided; each is a unit of its own, and this one puts together what they found."""
    share: int = 0
    """Which of them this is, from 1; 0 for the unit of the model."""
    of: str = ""
    """Of a share, name of the unit of the model."""

    @property
    def id(self) -> str:
        """Name of its files: the same wherever the run lies, another where anything that decides the result is other."""
        if self.share:
            return f"{self.of}.{self.share}of{self.shares}"
        decides = (self.name, self.written, self.loading, [(name, options) for name, _, options in self.steps])
        digest = sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
        return f"{file_stem(self.name)[:100]}-{digest[:8]}"

    def of_shares(self) -> list[Unit]:
        """Return the units of the shares; none of a model that is not divided, or has no step that can be."""
        steps = tuple(step for step in self.steps if step[0] in BY_CALL)
        if self.share or self.shares == 1 or not steps:
            return []
        part = replace(self, steps=steps, keep=BY_CALL, of=self.id)
        return [replace(part, share=share) for share in range(1, self.shares + 1)]

    @property
    def is_file(self) -> bool:
        """Whether the model is an ONNX file, not one of PyTorch."""
        return self.model.endswith(".onnx")

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Unit:
        """Read what `to_json` gave."""
        fields: dict[str, Any] = json.loads(text)
        steps: Any = (tuple(step) for step in fields.pop("steps"))
        return cls(**fields, steps=tuple(steps))


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run."""

    path: Path

    def result(self, unit: str) -> Path:
        """Return the file of a unit's result: it is there when all of the unit is."""
        return self.path / "results" / f"{unit}.json"

    def artefacts(self, unit: str) -> Path:
        """Return the folder of the files that a unit's steps leave."""
        return self.path / "artefacts" / unit

    def log(self, unit: str) -> Path:
        """Return the file of what a unit's process printed."""
        return self.path / "logs" / f"{unit}.log"

    def working(self, unit: str) -> Path:
        """Return the folder in which a unit's process works."""
        return self.path / "working" / unit

    def journal(self, unit: str) -> Path:
        """Return the file to which a unit's process adds a line at the beginning and the end of each step."""
        return self.path / "working" / f"{unit}.jsonl"

    def read(self, unit: str) -> ModelResult | None:
        """Return the result of a unit; None where it has none."""
        try:
            return ModelResult.model_validate_json(self.result(unit).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            hint = "Remove the file: the model is run again."
            raise HxError(f"{str(self.result(unit))!r} is no result.", code="HX417", hint=hint) from error

    @contextmanager
    def held(self, unit: str | None = None, *, wait: bool = False) -> Generator[bool]:
        """Hold the lock of a unit, or of the run; yield whether nobody else has it, or wait until no other process has.

        The system takes it back when its process ends, however that happens; a process that was forked from this one never has it.
        """
        import fcntl

        path = self.path / LOCK if unit is None else self.path / "working" / f"{unit}.lock"
        key = os.getpid(), path
        if key in HELD:
            yield False
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            try:  # not `flock`: what a step forks and leaves would hold that on
                fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except (BlockingIOError, PermissionError):  # POSIX allows either
                yield False
            else:
                HELD.add(key)
                try:
                    yield True
                finally:
                    HELD.remove(key)


def finish(unit: Unit, folder: RunFolder, ended: tuple[str, str] | None = None) -> None:
    """Write the result of a unit out of its journal, and move what its steps leave to its place.

    Args:
        unit: Whose process has ended, or is this one and has run all steps.
        folder: Of the run.
        ended: Kind and cause of what ended it before all steps were done.
    """
    began, rows, calls = _read_journal(folder.journal(unit.id))
    if ended is None and len(rows) < len(unit.steps):
        raise RuntimeError(f"The journal of {unit.id!r} has {len(rows)} of {len(unit.steps)} steps.")
    attempts = began.get("attempts", 1)
    steps = [row.model_copy(update={"attempts": attempts}) for row in rows]
    for position, (name, _, _) in enumerate(unit.steps[len(rows) :]):
        kind, cause = ended or ("", "")
        changes: dict[str, Any] = {"status": "skipped", "cause": f"The process had ended: {kind}."}
        if position == 0:
            changes = {"status": "failed", "kind": kind, "cause": cause, "started": began.get("started", "")}
            changes["seconds"] = round(time.time() - began["clock"], 3) if "clock" in began else None
        steps.append(StepRow(model=unit.name, step=name, attempts=attempts, **changes))
    result = ModelResult(unit=unit.id, model=unit.name, steps=steps, calls=calls)
    working, artefacts = folder.working(unit.id), folder.artefacts(unit.id)
    if working.is_dir():  # otherwise a process that was ended between the two renames has moved it
        _remove_files(working, unit.keep)
        if any(working.iterdir()):
            artefacts.parent.mkdir(exist_ok=True)
            working.rename(artefacts)
        else:
            working.rmdir()
    written = folder.path / "working" / f"{unit.id}.json"
    written.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    folder.result(unit.id).parent.mkdir(exist_ok=True)
    os.replace(written, folder.result(unit.id))  # the last thing: from here on the unit has its result
    folder.journal(unit.id).unlink(missing_ok=True)


def clear(unit: Unit, folder: RunFolder) -> None:
    """Remove what an earlier process of a unit left behind."""
    for path in (folder.working(unit.id), folder.artefacts(unit.id)):
        shutil.rmtree(path, ignore_errors=True)
    for path in (folder.journal(unit.id), folder.path / "working" / f"{unit.id}.json"):
        path.unlink(missing_ok=True)


def _remove_files(folder: Path, keep: Sequence[str]) -> None:
    """Remove from a unit's folder what steps left that are not among those to keep, and what a step was writing when it was ended."""
    finish_writes(folder)
    for step, name in FILES.items():
        if step in keep:
            continue
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # what a step started and left may still write there
            continue
        for file in model_files(path) if path.suffix == ".onnx" else [path]:
            file.unlink(missing_ok=True)


def remove_shares(units: Collection[str], folder: RunFolder) -> None:
    """Remove what the units of the shares of these left, however many they were: these have their own results."""
    for kind in ("results", "artefacts"):
        for path in list((folder.path / kind).glob("*.*of*")):
            match = re.fullmatch(r"(.+)\.\d+of\d+(\.json)?", path.name)
            if match is None or match[1] not in units:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def now() -> str:
    """Return the time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read_journal(path: Path) -> tuple[dict[str, Any], list[StepRow], list[CallRow]]:
    """Return the last line that a step began with, the steps that ended, and the calls as the last of these left them."""
    began: dict[str, Any] = {}
    rows: list[StepRow] = []
    calls: list[CallRow] = []
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):  # its process was killed while it wrote
            break
        entry = json.loads(line)
        if "row" in entry:
            rows.append(StepRow.model_validate(entry["row"]))
            calls = [CallRow.model_validate(call) for call in entry["calls"]] if "calls" in entry else calls
        else:
            began = entry
    return began, rows, calls
