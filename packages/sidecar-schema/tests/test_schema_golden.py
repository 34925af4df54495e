"""The published JSON Schemas are the contract of the files: a change must be seen and meant.

`python -m hx_sidecar_schema.schema` writes them again. A field that readers of the old version would miss needs a
new minor version, a field that goes or changes a new major one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hx_sidecar_schema
from hx_sidecar_schema.schema import SCHEMAS, current_schema, published_schema

NAMES = ["sidecar-1.3.json", "context-1.3.json"]


def test_the_published_files_are_those_of_this_version() -> None:
    assert list(SCHEMAS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schema_is_the_records(name: str) -> None:
    assert published_schema(name) == current_schema(name), "run python -m hx_sidecar_schema.schema"


@pytest.mark.parametrize("name", NAMES)
def test_every_record_is_described_and_open(name: str) -> None:
    schema = json.loads(published_schema(name))
    assert schema["$schema"].startswith("https://json-schema.org/")
    for title, record in [(schema["title"], schema), *schema["$defs"].items()]:
        assert record["description"], title
        assert record["type"] == "object", title
        # A file of a newer minor version must pass the schema of an older one.
        assert record.get("additionalProperties", True), title


def test_regenerating_gives_the_same_files(tmp_path: Path) -> None:
    package = Path(hx_sidecar_schema.__file__).parent
    copy = tmp_path / "hx_sidecar_schema"
    shutil.copytree(package, copy)
    (copy / "schema" / NAMES[0]).unlink()
    (copy / "schema" / NAMES[1]).write_text("old")
    subprocess.run([sys.executable, "-m", "hx_sidecar_schema.schema"], cwd=tmp_path, check=True)
    for name in NAMES:
        assert (copy / "schema" / name).read_bytes() == (package / "schema" / name).read_bytes()
