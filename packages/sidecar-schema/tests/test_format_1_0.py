"""Files of format 1.0, as hx 0.1 wrote them: an export, what a tool made of it, a call cut out of it, one with gaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hx_sidecar_schema import Sidecar
from hx_sidecar_schema.schema import published_schema

FOLDER = Path(__file__).parent / "data" / "format-1.0"
NAMES = ["bert", "optimised", "layer", "unsure"]


def content(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}_hierarchy.json").read_bytes())


def loaded(name: str) -> Sidecar:
    return Sidecar.load(FOLDER / f"{name}_hierarchy.json")


def without(row: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in fields}


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_the_file_says_is_read(name: str) -> None:
    said, sidecar = content(name), loaded(name)
    assert (said["schema_version"], sidecar.schema_version) == ("1.0", "1.0")
    read = json.loads(sidecar.to_json())
    assert [without(row, "known") for row in read["nodes"]] == said["nodes"]
    assert without(read["model"], "file_digest") == said["model"]
    for part in ("generator", "modules", "calls", "initializers", "recovered", "sizes", "summary"):
        assert read[part] == said[part], part


@pytest.mark.parametrize("name", NAMES)
def test_as_many_nodes_are_known_as_the_summary_covers(name: str) -> None:
    sidecar = loaded(name)
    known = sum(node.known for node in sidecar.nodes)
    assert round(100 * known / len(sidecar.nodes), 2) == sidecar.summary.covered_percent
    assert (known == len(sidecar.nodes)) == (name != "unsure")
    assert all((node.owner, node.confidence) == (0, "low") for node in sidecar.nodes if not node.known)


def test_the_root_may_own_a_node_with_low_confidence_where_all_are_covered(tmp_path: Path) -> None:
    said = content("bert")
    said["nodes"][0] |= {"owner": 0, "evidence": "dataflow", "confidence": "low"}
    (tmp_path / "m.json").write_text(json.dumps(said))
    assert all(node.known for node in Sidecar.load(tmp_path / "m.json").nodes)
    said["summary"]["covered_percent"] = 98.8
    (tmp_path / "m.json").write_text(json.dumps(said))
    assert [node.known for node in Sidecar.load(tmp_path / "m.json").nodes].index(False) == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_again_is_of_this_version(name: str, tmp_path: Path) -> None:
    loaded(name).save(tmp_path / "m.json")
    again = Sidecar.load(tmp_path / "m.json")
    assert again.schema_version == "1.3"
    assert again.model_copy(update={"schema_version": "1.0"}) == loaded(name)


def test_the_old_schemas_stay_published() -> None:
    for name in ("sidecar-1.0.json", "context-1.0.json"):
        fields = json.loads(published_schema(name))["$defs"]["Initializer"]["properties"]
        assert list(fields) == ["name", "parameter", "transform"]
