"""The process that is for one model: it runs the steps, and notes how each ended."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import hx
from hx.records.fleet import CallRow, StepRow
from hx_fleet._units import RunFolder, Unit, now
from hx_fleet.worker.shares import ShareEnded, Shares
from hx_fleet.worker.steps import READ, STEPS, Fields, NotForThisModel, Task
from hx_sidecar_schema import HxError, first_line

PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def run_unit(unit: Unit, folder: RunFolder, attempts: int) -> None:
    """Run the steps of a unit in this process, and add each to its journal as it ends."""
    working = folder.working(unit.id)
    process = os.getpid()
    working.mkdir(parents=True)
    sys.path.append(unit.base)  # the last: no file there hides a module of a package
    spec = None if unit.is_file else hx.ModelSpec(unit.model, **unit.loading)
    if unit.against is not None:
        spec = hx.ModelSpec(unit.against, **unit.loading)
    task = Task(unit.name, unit.model, spec, path=Path(unit.model) if unit.is_file else None)
    task.share = f"{unit.share}/{unit.shares}" if unit.share else None
    task.shares = Shares(folder, unit.of_shares())
    with folder.journal(unit.id).open("w", encoding="utf-8") as journal:
        for name, function, options in unit.steps:
            started, wall, processor = now(), time.monotonic(), time.process_time()
            began = {"step": name, "started": started, "clock": time.time(), "attempts": attempts}
            journal.write(json.dumps(began) + "\n")
            journal.flush()
            _say(f"== {name}")
            working.mkdir(exist_ok=True)  # whatever the step before did
            os.chdir(working)
            task.options = _with_paths(options, Path(unit.base)) if name in STEPS else options
            before = task.shares.rows(name).values()
            found = _outcome(STEPS[name] if name in STEPS else _function(function), task, working)
            if os.getpid() != process:
                os._exit(0)  # the step has forked it, and did not end it
            row = StepRow(
                model=unit.name,
                step=name,
                started=started,
                seconds=round(time.monotonic() - wall + sum(row.seconds or 0 for row in before), 3),
                cpu_seconds=round(time.process_time() - processor + sum(row.cpu_seconds or 0 for row in before), 3),
                memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT,
                **found,
            )
            entry: Fields = {"row": row.model_dump(mode="json")}
            entry["calls"] = [_call_row(unit, key, call) for key, call in task.calls.items()]
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
            _say(f"   {row.status} {row.cause}")


def _say(text: str) -> None:
    """Write a line to the log of this model: stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _with_paths(options: Fields, base: Path) -> Fields:
    """Return options with files that are there under their paths; what is not is a file that a step before writes."""
    files = {name: base / value for name, value in options.items() if name in READ and isinstance(value, str)}
    return {**options, **{name: str(file) for name, file in files.items() if file.exists()}}


def _call_row(unit: Unit, key: tuple[str, int], call: Fields) -> Fields:
    return CallRow(model=unit.name, fqn=key[0], call=key[1], **call).model_dump(mode="json")


def _outcome(step: Callable[[Task], Fields], task: Task, working: Path) -> Fields:
    """Run a step; return the fields of its row."""

    def cause(text: str) -> str:
        return _portable(text, task, working)

    try:
        with _streams_kept():
            found = {"status": "passed", **step(task)}
        if not working.is_dir():
            raise FileNotFoundError("The folder in which the model's process works is gone.")
    except ShareEnded as ended:
        row = ended.row
        _say(f"A share of the calls ended: see logs/{ended.log}.")
        return {"status": row.status, "kind": row.kind, "code": row.code, "cause": row.cause}
    except NotForThisModel as reason:
        return {"status": "skipped", "cause": str(reason)}
    except HxError as error:
        _say("\n".join([error.message, *error.__notes__]))
        kind = "memory" if isinstance(error.__cause__, MemoryError) else "error"
        return {"status": "failed", "kind": kind, "code": error.code, "cause": cause(first_line(error))}
    except MemoryError as error:
        return {"status": "failed", "kind": "memory", "cause": cause(first_line(error, with_type=True))}
    except BaseException as error:  # noqa: BLE001 a defect of hx, or `exit()` in code of somebody's: it is the result, with its traceback in the log
        traceback.print_exc()
        return {"status": "failed", "kind": "exception", "cause": cause(first_line(error, with_type=True))}
    if found.get("cause"):
        found["cause"] = cause(found["cause"])
    return found


@contextmanager
def _streams_kept() -> Generator[None]:
    """Give stdout and stderr back after a step, whatever it does to them: the log of the model goes on."""
    streams, files = (sys.stdout, sys.stderr), (os.dup(1), os.dup(2))
    try:
        yield
    finally:
        for place, file in enumerate(files, 1):
            os.dup2(file, place)
            os.close(file)
        sys.stdout, sys.stderr = (
            open(place, "w", errors="backslashreplace", closefd=False) if stream.closed else stream  # noqa: SIM115 it stays open
            for place, stream in enumerate(streams, 1)
        )


def _portable(text: str, task: Task, working: Path) -> str:
    """Return a message without what another run has otherwise: the folders that it works in and starts from, addresses of objects."""
    base = task.model.removesuffix(task.name)
    for folder in (f"{working}{os.sep}", *([base] if base.endswith(os.sep) else [])):
        text = text.replace(folder, "")
    return re.sub(r"\b0x[0-9a-f]{6,}", "0x…", text)


def _function(name: str) -> Callable[[Task], Fields]:
    """Return the step that is a function, as `/path/file.py:function` or `package.module:function`."""

    def step(task: Task) -> Fields:
        place, _, attribute = name.rpartition(":")
        module = _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        said = json.dumps(getattr(module, attribute)(task))
        return {
            "facts": json.dumps(json.loads(said, parse_constant=lambda _: None))
        }  # JSON has neither NaN nor infinity

    return step


def _from_file(path: Path) -> ModuleType:
    """Import a file under a name that no other module has; it may import those beside it."""
    spec = importlib.util.spec_from_file_location(f"hx_fleet_step_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"No module can be made of {str(path)!r}.")
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
