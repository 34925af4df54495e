"""What made a file: the command without home paths, the time, the versions."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hx_sidecar_schema import Provenance

PACKAGES = ("hx-onnx", "hx-tracer", "hx-projector", "hx-extractor", "hx-sidecar-schema")


def generator_of(base: Provenance, argv: Sequence[str]) -> Provenance:
    """Return the record of a run.

    Args:
        base: What the tracer filled in.
        argv: Arguments without the program's name.
    """
    versions = {name: importlib.metadata.version(name) for name in PACKAGES} | base.versions
    return base.model_copy(
        update={"versions": versions, "command": _command(argv), "timestamp": _timestamp()}
    )


def _command(argv: Sequence[str]) -> str:
    home = str(Path.home())
    words = ["hx", *argv]
    if len(home) > 1:
        words = [word.replace(home, "~") for word in words]
    return shlex.join(words)


def _timestamp() -> str:
    """Now, or what SOURCE_DATE_EPOCH says (https://reproducible-builds.org/specs/source-date-epoch/)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
