"""What made a file: the command without folders, the time, the versions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hx._redacted import without_folders

if TYPE_CHECKING:
    from hx_sidecar_schema import Provenance

command_line: ContextVar[Sequence[str]] = ContextVar("hx.command_line", default=())
"""The words of the command that runs, for programs in front of this library; empty where the library was called."""
PACKAGES = ("hx-onnx", "hx-tracer", "hx-projector", "hx-extractor", "hx-sidecar-schema")


def provenance_of(base: Provenance) -> Provenance:
    """Return the record of a run: `base`, with versions of hx, the command line and the time added."""
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in PACKAGES} | base.versions
    command = shlex.join(map(without_folders, command_line.get()))
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")  # https://reproducible-builds.org/specs/source-date-epoch/
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    made = {"versions": versions, "command": command, "timestamp": moment.isoformat(timespec="seconds")}
    return base.model_copy(update=made)
