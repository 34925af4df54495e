"""`hx export --strategy`, what it says where strategies fail, and what it writes into the model file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from hx_sidecar_schema import STRATEGIES, Disagreement, Sidecar


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_every_strategy_gives_the_same_kind_of_result(hx, tmp_path, factories, strategy):
    result = hx("export", f"{factories}:twice", "-o", "m.onnx", "--strategy", strategy, "--json", cwd=tmp_path)
    assert result.code == 0
    record = json.loads(result.out)
    assert record["strategy"] == strategy
    assert record["verification"]["status"] == "match"
    assert record["covered_percent"] == 100
    sidecar = Sidecar.load(tmp_path / "m_hierarchy.json")
    assert sidecar.generator.strategy == strategy
    owners = {(sidecar.module_of(sidecar.calls[node.owner]).fqn) for node in sidecar.nodes}
    assert "widen" in owners
    if strategy == "usage_based":  # weights do not tell two calls of one module apart
        return
    assert {"block.first", "block.second"} <= owners
    second = [c for c in sidecar.calls if c.index == 1 and sidecar.module_of(c).fqn == "block.first"]
    assert second
    assert any(sidecar.calls[node.owner] in second for node in sidecar.nodes)


@pytest.mark.parametrize("strategy", ["htp", "fx_graph"])
def test_calls_of_other_strategies_are_cut_out_and_equal_to_pytorch(hx, tmp_path, factories, strategy):
    spec = f"{factories}:twice"
    assert hx("export", spec, "-o", "m.onnx", "--strategy", strategy, cwd=tmp_path).code == 0
    result = hx("extract", "m.onnx", "--all", "-o", "calls", "--against", spec, "--json")
    assert result.code == 0
    record = json.loads(result.out)
    assert record["mismatches"] == 0
    assert sum(entry["max_abs_error"] is not None for entry in record["modules"]) == 10


def test_an_input_that_the_exporter_drops_is_no_obstacle(hx, tmp_path):
    (tmp_path / "unused.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.lin = torch.nn.Linear(3, 3)\n"
        "    def forward(self, mask, x):\n"
        "        return self.lin(x) + 1\n"
        "def net():\n"
        "    return Net(), {'mask': torch.ones(2), 'x': torch.ones(2, 3)}\n"
    )
    result = hx("export", "unused.py:net", "-o", "m.onnx", "--strategy", "htp", "--json", cwd=tmp_path)
    assert result.code == 0
    record = json.loads(result.out)
    assert record["inputs"] == {"x": [2, 3]}
    assert (record["verification"]["status"], record["calls"]) == ("match", {"extractable": 2})
    assert hx("verify", "m.onnx", "--against", "unused.py:net").code == 0


def test_auto_says_what_it_skipped(hx, tmp_path, factories):
    (tmp_path / "hard.py").write_text(
        "import torch\n"
        "class Odd(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x * 2 if torch.jit.is_tracing() else x * (2 if float(x.sum()) > -1e9 else 3)\n"
        "def odd():\n"
        "    return Odd(), {'x': torch.ones(2, 3)}\n"
    )
    result = hx("export", "hard.py:odd", "--strategy", "auto", "--json", cwd=tmp_path)
    assert result.code == 0
    record = json.loads(result.out)
    assert record["strategy"] == "htp"
    assert [
        note for note in record["notes"] if note.startswith("Strategy dynamo was skipped: torch.onnx.export refuses")
    ]


@pytest.mark.findings("V02")
def test_where_onnx_runtime_refuses_the_graph_the_exporters_word_remains(hx, tmp_path):
    (tmp_path / "short.py").write_text(
        "import torch\n"
        "class Product(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return (x.to(torch.int16) @ x.to(torch.int16).T).float()\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.product = Product()\n"
        "    def forward(self, x):\n"
        "        return self.product(x) + 1\n"
        "def net():\n"
        "    return Net(), {'x': torch.ones(2, 3)}\n"
    )
    result = hx("export", "short.py:net", "-o", "m.onnx", "--strategy", "htp", "--json", cwd=tmp_path)
    assert result.code == 1, "written, but ONNX Runtime does not run it"
    record = json.loads(result.out)
    assert record["exact_percent"] == 100
    assert record["calls"] == {"fused": 2}
    assert record["verification"]["status"] == "mismatch"
    assert any("ONNX Runtime cannot run the model" in note for note in record["notes"])
    assert "ONNX Runtime cannot run the graph" in hx("extract", "m.onnx", "--module", "product").err
    blind = hx("export", "short.py:net", "-o", "n.onnx", "--strategy", "fx_graph")
    assert (blind.code, "HX121" in blind.err) == (2, True)


def test_where_no_strategy_fits_every_reason_is_given(hx, tmp_path, factories):
    (tmp_path / "never.py").write_text(
        "import torch\n"
        "class Never(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.linalg.eigvals(x @ x.T).real if bool(x.sum() > 0) else x\n"
        "def never():\n"
        "    return Never(), {'x': torch.ones(3, 3)}\n"
    )
    result = hx("export", "never.py:never", "--strategy", "auto", cwd=tmp_path)
    assert result.code == 2
    assert "error[HX125]" in result.err
    for name in STRATEGIES:
        assert f"{name}: " in result.err
    report = (tmp_path / "never_export_report.txt").read_text()
    assert "Traceback" in report
    assert not list(tmp_path.glob("*.onnx"))


def test_an_unknown_strategy_is_named(hx, tmp_path, factories):
    result = hx("export", f"{factories}:twice", "--strategy", "guess", cwd=tmp_path)
    assert result.code == 2
    assert "error[HX123]: There is no strategy 'guess'" in result.err


def test_cross_check_lists_where_sources_disagree(hx, tmp_path, factories, monkeypatch):
    result = hx("export", f"{factories}:perceptron", "--cross-check", "--json", cwd=tmp_path)
    assert json.loads(result.out)["disagreements"] == []

    import hx as api

    export = api.export

    def mistaken(*args, **options):
        exported = export(*args, **options)
        (node,) = exported["first"].nodes
        claim = Disagreement(output=node.output, evidence=node.evidence, owner=node.owner, against="witness", other=0)
        exported.sidecar = exported.sidecar.model_copy(update={"disagreements": [claim]})
        return exported

    monkeypatch.setattr(api, "export", mistaken)
    result = hx("export", f"{factories}:perceptron", "--cross-check", "--overwrite")
    assert "disagree" in result.out
    assert "witness" in result.out
    assert "/Perceptron/Linear.first" in result.out


@pytest.mark.findings("V42")
def test_least_confidence(hx, tmp_path, factories):
    options = ("export", f"{factories}:twice", "-o", "m.onnx", "--strategy", "usage_based", "--json")
    low = json.loads(hx(*options, cwd=tmp_path).out)
    high = json.loads(hx(*options, "--min-confidence", "high", "--overwrite").out)
    assert low["covered_percent"] == 100
    assert high["covered_percent"] == high["exact_percent"] == low["exact_percent"] == 0
    nodes = Sidecar.load(tmp_path / "m_hierarchy.json").nodes
    assert {(node.owner, node.known_by) for node in nodes} == {(0, "not known")}
    analyzed = json.loads(hx("analyze", "m.onnx", "--json", cwd=tmp_path).out)
    assert analyzed["evidence"] == {"not known": len(nodes)}


def test_an_embedded_sidecar_survives_and_is_found(hx, tmp_path, factories):
    spec = f"{factories}:perceptron"
    assert hx("export", spec, "-o", "m.onnx", "--embed", "--no-metadata", cwd=tmp_path).code == 0
    proto = onnx.load(tmp_path / "m.onnx")
    keys = {entry.key for node in proto.graph.node for entry in node.metadata_props}
    ours = {f"pkg.hx.{name}" for name in ("module", "call", "tag", "evidence", "confidence")}
    assert keys == {*ours, "namespace"}
    (tmp_path / "moved").mkdir()
    onnx.save(proto, tmp_path / "moved" / "other.onnx")
    session = ort.InferenceSession(tmp_path / "moved" / "other.onnx", providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.zeros((3, 4), np.float32)})[0].shape == (3, 2)
    result = hx("extract", "moved/other.onnx", "-m", "first", "-o", "first.onnx", "--against", spec)
    assert result.code == 0
    assert (tmp_path / "first.onnx").exists()


def test_metadata_of_the_exporter_stays_unless_asked(hx, tmp_path, factories):
    hx("export", f"{factories}:perceptron", "-o", "m.onnx", cwd=tmp_path)
    keys = {e.key for node in onnx.load(tmp_path / "m.onnx").graph.node for e in node.metadata_props}
    assert "pkg.torch.onnx.name_scopes" in keys
    hx("export", f"{factories}:perceptron", "-o", "m.onnx", "--no-metadata", "--overwrite")
    raw = (tmp_path / "m.onnx").read_bytes()
    assert b"pkg.torch" not in raw
    assert str(factories.parent).encode() not in raw


class TestProject:
    """`hx project`."""

    @pytest.fixture
    def elsewhere(self, hx, tmp_path, factories):
        """A model of torch's own exporter."""
        import torch

        namespace: dict[str, object] = {}
        exec(factories.read_text(), namespace)
        module, inputs = namespace["twice"]()  # pyright: ignore
        torch.onnx.export(
            module.eval(), kwargs=inputs, f=tmp_path / "m.onnx", dynamo=True, verbose=False, external_data=False
        )
        return f"{factories}:twice"

    def test_by_what_the_file_says(self, hx, tmp_path, elsewhere):
        result = hx("project", "m.onnx", "--json", cwd=tmp_path)
        assert result.code == 0
        record = json.loads(result.out)
        assert record["exporter"].startswith("pytorch")
        assert (record["covered_percent"], record["modules"]) == (100, 6)
        assert record["exact_percent"] < 50  # two runs of one block that the file does not tell apart
        assert "several times" in hx("tree", "m.onnx", "--all", "--json").out
        assert "widen" in hx("tree", "m.onnx", "--all").out

    def test_against_the_model(self, hx, tmp_path, elsewhere):
        assert hx("project", "m.onnx", "--against", elsewhere, cwd=tmp_path).code == 0
        sidecar = Sidecar.load(tmp_path / "m_hierarchy.json")
        assert sidecar.summary.exact_percent == 100
        result = hx("extract", "m.onnx", "--all", "-o", "calls", "--against", elsewhere, "--json")
        assert (result.code, json.loads(result.out)["mismatches"]) == (0, 0)
        assert sum(call.status == "extractable" for call in sidecar.calls) == 10

    def test_names_do_not_matter_against_the_model(self, hx, tmp_path, elsewhere):
        proto = onnx.load(tmp_path / "m.onnx")
        names = {value.name for value in (*proto.graph.input, *proto.graph.output)}
        fresh: dict[str, str] = {}

        def renamed(name: str) -> str:
            return name if name in names or not name else fresh.setdefault(name, f"v{len(fresh)}")

        for index, node in enumerate(proto.graph.node):
            node.name = f"n{index}"
            del node.metadata_props[:]
            node.input[:] = [renamed(name) for name in node.input]
            node.output[:] = [renamed(name) for name in node.output]
        for tensor in proto.graph.initializer:
            tensor.name = renamed(tensor.name)
        del proto.graph.value_info[:]
        onnx.save(proto, tmp_path / "m.onnx")
        assert hx("project", "m.onnx", cwd=tmp_path).code == 0
        alone = Sidecar.load(tmp_path / "m_hierarchy.json")
        assert (len(alone.modules), len(alone.calls), alone.summary.covered_percent) == (1, 1, 0)
        for command in (("tree",), ("analyze",), ("profile",), ("validate",), ("extract", "--all", "-o", "root")):
            assert hx(command[0], "m.onnx", *command[1:]).code == 0, command
        assert hx("compare", "m.onnx", "root/main_graph.onnx").code == 0
        assert hx("project", "m.onnx", "--against", elsewhere, "--overwrite").code == 0
        assert Sidecar.load(tmp_path / "m_hierarchy.json").summary.exact_percent == 100
        assert hx("extract", "m.onnx", "--all", "-o", "calls", "--against", elsewhere).code == 0

    def test_a_model_with_other_inputs_is_refused(self, hx, tmp_path, elsewhere):
        (tmp_path / "pair.py").write_text(
            "import torch\n"
            "class Pair(torch.nn.Module):\n"
            "    def forward(self, a, b):\n"
            "        return a + b\n"
            "def pair():\n"
            "    return Pair(), {'a': torch.ones(3, 4), 'b': torch.ones(3, 4)}\n"
        )
        result = hx("project", "m.onnx", "--against", "pair.py:pair", cwd=tmp_path)
        assert "error[HX127]: The graph has the inputs 'x', 'Pair' was given 'a', 'b'." in result.error
        assert not (tmp_path / "m_hierarchy.json").exists()

    def test_an_existing_sidecar_is_kept(self, hx, tmp_path, elsewhere):
        assert hx("project", "m.onnx", cwd=tmp_path).code == 0
        before = (tmp_path / "m_hierarchy.json").read_bytes()
        assert "error[HX402]" in hx("project", "m.onnx").err
        assert (tmp_path / "m_hierarchy.json").read_bytes() == before

    def test_it_needs_no_torch(self, tmp_path, elsewhere):
        program = (
            "import sys; sys.modules.update(torch=None, transformers=None, onnxscript=None)\n"
            "from hx_cli._main import run; sys.exit(run(['project', 'm.onnx']))"
        )
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
        assert Sidecar.load(tmp_path / "m_hierarchy.json").summary.covered_percent == 100
