"""Reading and writing sidecars, those of other versions and broken ones included."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from hx_sidecar_schema import (
    SIDECAR_VERSION,
    CategoryStatistics,
    CutFrom,
    Example,
    HxError,
    Initializer,
    ModelInfo,
    Module,
    ModuleCall,
    Node,
    Port,
    Provenance,
    RecoveredNode,
    Sidecar,
    Summary,
    TensorInfo,
    _migrate,
    file_digest,
)


def sidecar() -> Sidecar:
    x = Port(name="x", value="x", dtype="FLOAT", shape=["batch", 3])
    return Sidecar(
        generator=Provenance(versions={"hx": "0.1.0"}, command="hx export m", timestamp="2025-01-01T00:00:00Z"),
        model=ModelInfo(
            file="m.onnx",
            opset_imports={"": 20},
            ir_version=10,
            graph_digest="ab" * 32,
            inputs=[
                TensorInfo(
                    name="x", dtype="FLOAT", shape=["batch", 3], example=Example(shape=[2, 3], low=-1.0, high=1.0)
                )
            ],
            outputs=[TensorInfo(name="y", dtype="FLOAT", shape=["batch", 3])],
        ),
        cut_from=CutFrom(file="whole.onnx", graph_digest="cd" * 32, fqn="net", index=1),
        modules=[
            Module(fqn="", class_name="net.Net", tag="/Net", tagged=True, children={"lin": "Linear"}),
            Module(
                fqn="lin",
                class_name="torch.nn.modules.linear.Linear",
                tag="/Net/Linear",
                tagged=False,
                parent=0,
                aliases=["tied"],
                forward_args=["input", "scale", "größe"],
                forward_defaults={"scale": 1.5, "mode": None, "names": ["a", 1]},
                parameters=["weight"],
                direct_parameters=["weight"],
            ),
        ],
        calls=[
            ModuleCall(module=0, index=0, inputs=[x], outputs=[x.model_copy(update={"name": "output"})]),
            ModuleCall(module=1, index=0, parent=0, inputs=[x], recovered=[0]),
            ModuleCall(module=1, index=1, parent=0, status="fused", reason="merged", inputs=[x]),
        ],
        nodes=[
            Node(output="h", name="node_h", op_type="Neg", owner=1, evidence="exporter", confidence="high"),
            Node(
                graph="y.then_branch",
                output="t",
                op_type="If",
                owner=2,
                evidence="dataflow",
                confidence="low",
                consumers=[0, 1],
            ),
        ],
        initializers=[Initializer(name="w", parameter="lin.weight", transform="folded", elements=6, readers=[1, 2])],
        recovered=[RecoveredNode(inputs=["h"], outputs=["r"], proto="AAAA", dtypes=["FLOAT"], shapes=[[2, "batch"]])],
        summary=Summary(
            nodes=2,
            exact_percent=50.0,
            covered_percent=100.0,
            category_statistics={"mathematical": CategoryStatistics(total=2, tagged=2, percentage=100.0, exact=1)},
        ),
    )


def written(path: Path, **changes: Any) -> Path:
    data = json.loads(sidecar().to_json())
    data.update(changes)
    path.write_text(json.dumps(data))
    return path


def refused(path: Path) -> HxError:
    with pytest.raises(HxError) as caught:
        Sidecar.load(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    return caught.value


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    sidecar().save(tmp_path / "m_hierarchy.json")
    assert Sidecar.load(tmp_path / "m_hierarchy.json") == sidecar()
    assert Sidecar.load(str(tmp_path / "m_hierarchy.json")) == sidecar()


def test_equal_sidecars_give_equal_bytes(tmp_path: Path) -> None:
    sidecar().save(tmp_path / "one.json")
    Sidecar.load(tmp_path / "one.json").save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes() == sidecar().to_json()


def test_the_file_has_the_documented_parts_and_a_row_a_line() -> None:
    text = sidecar().to_json().decode()
    data = json.loads(text)
    documented = ["schema_version", "generator", "model", "modules", "calls", "nodes", "initializers", "summary"]
    assert [part for part in data if part in documented] == documented
    assert data["schema_version"] == SIDECAR_VERSION == "1.3"
    assert sum('"op_type"' in line for line in text.splitlines()) == 2
    assert all(line.count('"op_type"') <= 1 for line in text.splitlines())


def test_a_row_for_a_node_is_short() -> None:
    row = Node(output="add_12", name="node_add_12", op_type="Add", owner=12, evidence="exporter", confidence="high")
    many = sidecar().model_copy(update={"nodes": [row] * 1000})
    none = sidecar().model_copy(update={"nodes": []})
    assert (len(many.to_json()) - len(none.to_json())) / 1000 < 150


def test_a_newer_minor_version_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "m.json", schema_version="1.3", provenance={"signed": True})
    data = json.loads(path.read_text())
    data["nodes"][0]["cost"] = 12
    data["model"]["checksum"] = "x"
    data["calls"][0]["inputs"][0]["layout"] = "NCHW"
    path.write_text(json.dumps(data))
    loaded = Sidecar.load(path)
    assert loaded.schema_version == "1.3"
    assert loaded.model_copy(update={"schema_version": SIDECAR_VERSION}) == sidecar()
    assert json.loads(loaded.to_json())["schema_version"] == SIDECAR_VERSION, "what is written lacks the rest"


def test_the_digest_of_the_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"model")
    known = sidecar().with_file_digest(tmp_path / "m.onnx")
    assert known.model.file_digest == file_digest(tmp_path / "m.onnx") == hashlib.sha256(b"model").hexdigest()
    assert known.model_copy(update={"model": sidecar().model}) == sidecar()


def test_a_newer_major_version_is_refused_with_what_to_install(tmp_path: Path) -> None:
    error = refused(written(tmp_path / "m.json", schema_version="2.0", nodes="now something else"))
    assert error.code == "HX303"
    assert "'2.0'" in error.message
    assert "1.x" in error.message
    assert "pip install" in error.hint
    assert "hx-sidecar-schema" in error.hint
    assert "2" in error.hint


def test_an_older_major_version_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def from_0(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "schema_version": SIDECAR_VERSION, "modules": data.pop("layers")}

    monkeypatch.setitem(_migrate.MIGRATIONS, 0, from_0)
    data = json.loads(sidecar().to_json())
    data["layers"] = data.pop("modules")
    data["schema_version"] = "0.9"
    (tmp_path / "m.json").write_text(json.dumps(data))
    assert Sidecar.load(tmp_path / "m.json") == sidecar()


def test_migrations_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def step(name: str) -> Any:
        def run(data: dict[str, Any]) -> dict[str, Any]:
            seen.append(name)
            return data

        return run

    monkeypatch.setattr(_migrate, "MIGRATIONS", {0: step("0 to 1"), 1: step("1 to 2")})
    _migrate.migrate({"schema_version": "0.4"}, tmp_path, "2.0")
    assert seen == ["0 to 1", "1 to 2"]


def test_an_older_major_version_without_migration_is_refused(tmp_path: Path) -> None:
    assert refused(written(tmp_path / "m.json", schema_version="0.1")).code == "HX304"


def test_a_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing.json").code == "HX301"


def test_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path).code == "HX301"


@pytest.mark.parametrize(
    "content", [b"", b"no json", b"\xff\xfe\x00", b"PK\x03\x04", b'{"schema_version": "1.0"', b"[" * 100_000]
)
def test_what_is_no_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    assert refused(tmp_path / "m.json").code == "HX302"


@settings(deadline=None)
@given(st.integers(0, len(sidecar().to_json()) - 3))
def test_a_truncated_file_is_never_read(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated.json"
    path.write_bytes(sidecar().to_json()[:length])
    assert refused(path).code == "HX302"


@pytest.mark.parametrize(
    "content", ["[]", "12", '"text"', "null", "{}", '{"schema_version": 1}', '{"schema_version": "x"}']
)
def test_json_that_is_no_sidecar(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    assert refused(tmp_path / "m.json").code == "HX304"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"nodes": "many"}, "nodes"),
        ({"nodes": [{"output": "h"}]}, "nodes.0."),
        ({"calls": [{"module": 0, "index": -1}]}, "calls.0.index"),
        ({"calls": [{"module": 0, "index": 0, "status": "odd"}]}, "calls.0.status"),
        ({"model": None}, "model"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(tmp_path: Path, changes: dict[str, Any], where: str) -> None:
    error = refused(written(tmp_path / "m.json", **changes))
    assert error.code == "HX304"
    assert where in error.message


@pytest.mark.parametrize("field", ["generator", "model"])
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    data = json.loads(sidecar().to_json())
    del data[field]
    (tmp_path / "m.json").write_text(json.dumps(data))
    error = refused(tmp_path / "m.json")
    assert error.code == "HX304"
    assert field in error.message


# What a sidecar can be asked


def test_a_later_call_has_its_number_in_the_tag() -> None:
    known = sidecar()
    assert [known.tag(call) for call in known.calls] == ["/Net", "/Net/Linear", "/Net/Linear@1"]


def test_nodes_show_their_nearest_tagged_ancestor() -> None:
    known = sidecar()
    assert known.display_tag(2) == "/Net"
    assert known.operation_hierarchy == {"h": "/Net", "y.then_branch:t": "/Net"}
    assert known.module_to_operations == {"/Net": ["h", "y.then_branch:t"]}


def test_subtrees_are_ranges() -> None:
    calls = [
        ModuleCall(module=0, index=0),
        ModuleCall(module=1, index=0, parent=0),
        ModuleCall(module=1, index=1, parent=1),
        ModuleCall(module=1, index=2, parent=0),
    ]
    assert sidecar().model_copy(update={"calls": calls}).subtree_end == [4, 3, 3, 4]


def test_records_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        sidecar().schema_version = "2.0"


def test_a_sidecar_that_cannot_be_read_is_not_told_to_be_made(tmp_path: Path) -> None:
    for path, says in ((tmp_path, "read it"), (tmp_path / "none.json", "hx relink")):
        with pytest.raises(HxError) as caught:
            Sidecar.load(path)
        assert caught.value.code == "HX301"
        assert says in caught.value.hint
