"""`hx view` on real models: groups are calls, numbers add up to what the other commands say, foreign records are refused."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transforming import TRANSFORMATIONS

import hx
from hx_sidecar_schema import namespaces


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(4, 4)
        self.norm = torch.nn.LayerNorm(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.nn.functional.gelu(self.inner(x)) + x)


class Branch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = Block(), Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.one(x), lambda x: self.other(x), (x,))


class Net(torch.nn.Module):
    """A module that is called twice, a recurrence, and a branch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block, self.rnn, self.branch = Block(), torch.nn.GRU(4, 4, batch_first=True), Branch()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(self.rnn(self.block(self.block(x)))[0])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    hx.export(Net().eval(), (torch.randn(2, 3, 4),), path)
    return path


def written(folder: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in folder.iterdir()}


def sums(files: dict[str, Any], name: str) -> dict[str, float]:
    """What Model Explorer shows as the sum of each group of all graphs, the whole under the empty name."""
    found: dict[str, float] = {}
    for graph in files["graph.json"]["graphs"]:
        results = files[name].get(graph["id"], {"results": {}})["results"]
        for node in graph["nodes"]:
            number = results.get(node["id"], {"value": 0})["value"]
            parts = node["namespace"].split("/") if node["namespace"] else []
            for end in range(len(parts) + 1):
                group = "/".join(parts[:end])
                found[group] = found.get(group, 0) + number
    return found


@pytest.mark.parametrize("optimization", ["disable", "all"])
def test_time_below_each_module_is_that_of_the_profile(exported: Path, tmp_path: Path, optimization: str) -> None:
    profile = hx.profile(exported, runs=3, optimization=optimization)
    (tmp_path / "time.json").write_text(profile.model_dump_json())
    hx.view(exported, tmp_path / "explorer", profile=tmp_path / "time.json")
    found = sums(written(tmp_path / "explorer"), "time.json")
    sidecar = hx.load(exported).sidecar
    paths = dict(
        zip(((sidecar.module_of(call).fqn, call.index) for call in sidecar.calls), namespaces(sidecar), strict=True)
    )
    assert sum(call.typical_us for call in profile.calls) > 0
    for call in profile.calls:
        assert found.get(paths[call.fqn, call.call], 0) == call.typical_us, call.tag


def test_cost_and_errors_are_those_of_the_records(exported: Path, tmp_path: Path) -> None:
    cost = hx.analyze(exported, detailed=True)
    verified = hx.verify(exported, Net().eval())
    report = hx.view(exported, tmp_path / "explorer", analyze=cost, verify=verified)
    assert report.numbers == ["error_local", "error_accumulated", "macs", "result_bytes", "weight_bytes"]
    files = written(tmp_path / "explorer")
    macs = sums(files, "macs.json")
    tree = files["graph.json"]["graphs"][0]["groupNodeAttributes"]
    assert cost.cost is not None
    assert macs[""] == cost.cost.total.macs > 0
    assert macs["block: Block/inner: Linear"] == macs["block@1: Block/inner@1: Linear"] == 2 * 3 * 4 * 4
    call = next(call for call in verified.calls if call.fqn == "rnn" and call.local is not None)
    assert tree["rnn: GRU"]["error alone"] == f"{call.local.relative_error:,.3g}"


def test_every_node_is_in_the_group_of_its_owner(exported: Path, tmp_path: Path) -> None:
    hx.view(exported, tmp_path)
    sidecar = hx.load(exported).sidecar
    paths = namespaces(sidecar)
    nodes = {node["id"]: node for graph in written(tmp_path)["graph.json"]["graphs"] for node in graph["nodes"]}
    assert len(set(paths)) == len(paths)
    for row in sidecar.nodes:
        assert nodes[f"{row.graph}:{row.output}" if row.graph else row.output]["namespace"] == paths[row.owner]


@pytest.mark.findings("V01")  # ONNX Runtime names a value of both branches alike
def test_what_a_tool_made_is_mapped_to_the_export(exported: Path, tmp_path: Path) -> None:
    made, feeds = tmp_path / "made.onnx", hx.load(exported).example_inputs()
    TRANSFORMATIONS["ORT extended"](exported, made, feeds)
    hx.relink(made, exported)
    hx.view(exported, tmp_path / "before")
    hx.view(made, tmp_path / "after")
    before, after = (
        {node["id"] for graph in written(tmp_path / side)["graph.json"]["graphs"] for node in graph["nodes"]}
        for side in ("before", "after")
    )
    entries = written(tmp_path / "after")["mapping.json"]["mappingEntries"]
    left = [name for entry in entries for name in entry["leftNodeIds"]]
    right = [name for entry in entries for name in entry["rightNodeIds"]]
    assert len(set(left)) == len(left) > 5
    assert len(set(right)) == len(right) > 5
    assert set(left) <= before
    assert set(right) <= after


def test_records_of_another_model_are_refused(exported: Path, tmp_path: Path) -> None:
    other = hx.export(Branch().eval(), (torch.randn(3, 4),), tmp_path / "other.onnx")
    records: dict[str, Any] = {
        "profile": hx.profile(other, runs=1),
        "verify": hx.verify(other),
        "analyze": hx.analyze(other, detailed=True),
    }
    for name, record in records.items():
        (tmp_path / f"{name}.json").write_text(record.model_dump_json())
        old = record.model_copy(update={"graph_digest": ""})  # what an older version printed
        for given in (record, old, tmp_path / f"{name}.json"):
            with pytest.raises(hx.HxError) as caught:
                hx.view(exported, tmp_path / "explorer", **{name: given})
            assert caught.value.code == "HX310"
    assert not (tmp_path / "explorer").exists()


def test_what_is_no_record_is_refused(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "cost.json").write_text(hx.analyze(exported).model_dump_json())
    (tmp_path / "none.json").write_text("{")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"profile": tmp_path / "cost.json"}, "HX307"),
        ({"verify": tmp_path / "cost.json"}, "HX309"),
        ({"verify": tmp_path / "none.json"}, "HX309"),
        ({"analyze": tmp_path / "missing.json"}, "HX309"),
        ({"analyze": tmp_path / "cost.json"}, "HX309"),  # without rows of nodes
    ]
    for given, code in wrong:
        with pytest.raises(hx.HxError) as caught:
            hx.view(exported, tmp_path / "explorer", **given)
        assert caught.value.code == code, given


def test_a_model_and_its_sidecar_need_each_other(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "alone.onnx").write_bytes(exported.read_bytes())
    (tmp_path / "gone_hierarchy.json").write_bytes(exported.with_name("net_hierarchy.json").read_bytes())
    for name, code in (("alone.onnx", "HX301"), ("gone.onnx", "HX202")):
        with pytest.raises(hx.HxError) as caught:
            hx.view(tmp_path / name, tmp_path / "explorer")
        assert caught.value.code == code
    exported.with_name("copy_hierarchy.json").write_bytes((tmp_path / "gone_hierarchy.json").read_bytes())
    for sidecar, hint in (
        (exported.with_name("net_hierarchy.json"), f"Name {str(exported)!r}."),
        (exported.with_name("copy_hierarchy.json"), "copy.onnx', which is not beside it."),
    ):
        with pytest.raises(hx.HxError, match="is the sidecar of a model, not the model") as caught:
            hx.report(sidecar, tmp_path / "page.html")
        assert (caught.value.code, caught.value.hint.endswith(hint)) == ("HX202", True)
    exported.with_name("copy_hierarchy.json").unlink()


def test_files_are_replaced_on_request_and_none_of_another_model_stays(exported: Path, tmp_path: Path) -> None:
    hx.view(exported, tmp_path, profile=hx.profile(exported, runs=1))
    with pytest.raises(hx.HxError) as caught:
        hx.view(exported, tmp_path)
    assert caught.value.code == "HX402"
    (tmp_path / "macs.json").write_text('{"model": "a record of mine"}')
    hx.view(exported, tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confidence.json", "graph.json", "macs.json"]


def test_no_record_that_is_read_is_written_over(exported: Path, tmp_path: Path) -> None:
    text = hx.profile(exported, runs=1).model_dump_json()
    (tmp_path / "time.json").write_text(text)
    with pytest.raises(hx.HxError) as caught:
        hx.view(exported, tmp_path, profile=tmp_path / "time.json", overwrite=True)
    assert caught.value.code == "HX408"
    assert (tmp_path / "time.json").read_text() == text


def test_the_file_itself_has_the_groups_where_the_sidecar_is_embedded(tmp_path: Path) -> None:
    import onnx

    exported = hx.export(Block().eval(), (torch.randn(2, 4),))
    exported.save(tmp_path / "block.onnx", embed=True)
    nodes = onnx.load(tmp_path / "block.onnx").graph.node
    paths = {node.output[0]: {prop.key: prop.value for prop in node.metadata_props}["namespace"] for node in nodes}
    rows = exported.sidecar.nodes
    assert paths == {row.output: namespaces(exported.sidecar)[row.owner] for row in rows}
    assert set(paths.values()) == {"", "inner: Linear", "norm: LayerNorm"}


def test_model_explorer_is_started_with_the_right_adapter_and_all_node_data(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in that notes what it is given; scripts/viewers starts the real one."""
    package = tmp_path / "model_explorer"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "config.py").write_text(
        "import json, pathlib\n"
        "class ModelExplorerConfig:\n"
        "    def __init__(self): self.given = []\n"
        "    def add_model_from_path(self, path, adapterId=''): self.given.append((path, adapterId))\n"
        "    def add_node_data_from_path(self, path): json.loads(pathlib.Path(path).read_text()); self.given.append(path)\n"
    )
    (package / "server.py").write_text("started = []\ndef start(config): started.append(config.given); print('here')\n")
    profile = hx.profile(exported, runs=1)
    assert not find_spec("model_explorer"), "the extra is not installed for tests"
    with pytest.raises(hx.HxError) as caught:
        hx.view(exported, open=True)
    assert caught.value.code == "HX214"
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        report = hx.view(exported, open=True, profile=profile)
        from model_explorer import server

        (((graph, adapter), *node_data),) = server.started
        for name in ("", ".config", ".server"):
            patch.delitem(sys.modules, f"model_explorer{name}")
    assert (Path(graph).name, adapter) == ("graph.json", "builtin_json")
    assert {"confidence.json", "time.json"} <= {Path(path).name for path in node_data}
    assert report.files == []
    assert not Path(graph).exists(), "the folder was a temporary one"


def page_of(path: Path) -> dict[str, Any]:
    """What a page shows."""
    text = path.read_text().partition('<script id="data" type="application/json">')[2]
    return json.loads(text.partition("</script>")[0])


def test_the_page_shows_what_the_records_say(exported: Path, tmp_path: Path) -> None:
    profile, cost = hx.profile(exported, runs=2), hx.analyze(exported, detailed=True)
    verified = hx.verify(exported, Net().eval())
    report = hx.report(exported, tmp_path / "net.html", profile=profile, verify=verified, analyze=cost)
    page = page_of(tmp_path / "net.html")
    columns = {column["name"]: column for column in page["columns"]}
    assert list(columns) == ["nodes", "exact", "weights", *report.numbers]
    tree = hx.load(exported).tree(everything=True).calls
    assert [call["fqn"] for call in page["calls"]] == [entry.fqn for entry in tree]
    rows = {(entry.fqn, entry.call): row for row, entry in enumerate(tree)}
    assert columns["weights"]["total"] == [entry.weights for entry in tree]
    assert all(entry.weights for entry in tree if entry.fqn.startswith("branch.o"))
    assert [number or 0 for number in columns["nodes"]["total"]] == [entry.nodes for entry in tree]
    for call in profile.calls:
        assert (columns["time"]["total"][rows[call.fqn, call.call]] or 0) == call.typical_us
    for call in verified.calls:
        if call.accumulated is not None:
            assert columns["error_accumulated"]["total"][rows[call.fqn, call.call]] == call.accumulated.relative_error
    assert cost.cost is not None
    assert columns["macs"]["total"][0] == cost.cost.total.macs
    assert columns["exact"]["total"][0] == pytest.approx(hx.load(exported).sidecar.summary.exact_percent, abs=0.1)


@pytest.mark.findings("V01")  # ONNX Runtime names a value of both branches alike
def test_the_page_shows_a_model_beside_the_one_it_was_made_of(exported: Path, tmp_path: Path) -> None:
    made, feeds = tmp_path / "made.onnx", hx.load(exported).example_inputs()
    TRANSFORMATIONS["dynamic quantisation"](exported, made, feeds)
    hx.relink(made, exported)
    costs = [hx.analyze(path, detailed=True) for path in (made, exported)]
    report = hx.report(made, tmp_path / "made.html", analyze=costs, against=exported)
    assert report.against == str(exported)
    page = page_of(tmp_path / "made.html")
    columns = {column["name"]: column for column in page["columns"]}
    nodes = {(entry.fqn, entry.call): entry.nodes for entry in hx.load(exported).tree(everything=True).calls}
    tree = hx.load(made).tree(everything=True).calls
    assert [number or 0 for number in columns["nodes"]["other"]] == [nodes[entry.fqn, entry.call] for entry in tree]
    assert columns["nodes"]["total"][0] > columns["nodes"]["other"][0]
    assert costs[1].cost is not None
    assert columns["macs"]["other"][0] == costs[1].cost.total.macs
    with pytest.raises(hx.HxError) as caught:
        hx.report(made, tmp_path / "other.html", analyze=costs)
    assert (caught.value.code, caught.value.argument) == ("HX310", "against")
    with pytest.raises(hx.HxError) as caught:
        hx.report(made, tmp_path / "other.html", analyze=[*costs, costs[0]])
    assert (caught.value.code, caught.value.argument) == ("HX406", "analyze")


def test_two_records_of_one_model_stand_beside_each_other(exported: Path, tmp_path: Path) -> None:
    after, before = hx.profile(exported, runs=1), hx.profile(exported, runs=1)
    hx.report(exported, tmp_path / "net.html", profile=(after, before))
    (time,) = (column for column in page_of(tmp_path / "net.html")["columns"] if column["name"] == "time")
    assert (time["total"][0], time["other"][0]) == (after.calls[0].typical_us, before.calls[0].typical_us)


def test_the_command_on_the_page_cuts_out_that_call(exported: Path, tmp_path: Path) -> None:
    hx.report(exported, tmp_path / "net.html")
    calls = [call for call in page_of(tmp_path / "net.html")["calls"] if call["status"] == "extractable"]
    assert len(calls) > 5
    for number, call in enumerate(calls):
        *command, pattern = shlex.split(call["command"])
        assert command == ["hx", "extract", "net.onnx", "--module"]
        if number < 5:
            report = hx.extract(exported, pattern, output=tmp_path / f"{number}.onnx")
            assert [entry.tag for entry in report.modules] == [call["tag"]]


def test_a_page_is_written_over_no_other_file(exported: Path, tmp_path: Path) -> None:
    page, record = tmp_path / "net.html", tmp_path / "time.html"
    record.write_text(hx.profile(exported, runs=1).model_dump_json())
    hx.report(exported, page)
    wrong = [(page, {}, "HX402"), (exported, {"overwrite": True}, "HX406")]
    wrong.append((record, {"overwrite": True, "profile": record}, "HX408"))
    for output, given, code in wrong:
        before = output.read_bytes()
        with pytest.raises(hx.HxError) as caught:
            hx.report(exported, output, **given)
        assert (caught.value.code, output.read_bytes()) == (code, before)
    hx.report(exported, page, overwrite=True)


def test_nothing_asked_for_is_an_error(exported: Path) -> None:
    with pytest.raises(hx.HxError) as caught:
        hx.view(exported)
    assert caught.value.code == "HX405"
