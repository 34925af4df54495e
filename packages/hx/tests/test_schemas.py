"""The published schemas are made from the records."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import hx
from hx.schema import schema_names

NAMES = list(schema_names())


def test_regenerating_gives_the_same_files(tmp_path: Path) -> None:
    package = Path(hx.__file__).parent
    copy = tmp_path / "hx"
    shutil.copytree(package, copy)
    (copy / "schema" / NAMES[0]).unlink()
    (copy / "schema" / NAMES[1]).write_text("old")
    subprocess.run([sys.executable, "-m", "hx.schema"], cwd=tmp_path, check=True)
    for name in NAMES:
        assert (copy / "schema" / name).read_bytes() == (package / "schema" / name).read_bytes()
