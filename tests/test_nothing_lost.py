"""No command removes or replaces what it reads or did not write."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import hx
from hx_sidecar_schema import HxError


class Block(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc, self.gate = torch.nn.Linear(width, width), torch.nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).relu() * self.gate(x)


class Net(torch.nn.Module):
    def __init__(self, width: int = 4, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.blocks = torch.nn.ModuleList(Block(width) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def export(seed: int = 0, width: int = 4) -> hx.Export:
    return hx.export(Net(width, seed).eval(), (torch.ones(2, width),), verify=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    export().save(path)
    return path


def test_extracting_into_the_own_folder_keeps_what_is_read(net: Path) -> None:
    hx.extract(net, "Block", weights="share")
    part = net.with_name("blocks_0.onnx")
    before = contents(net.parent)
    report = hx.extract(part, "Linear", net.parent, weights="share", overwrite=True)
    assert {"blocks_1.onnx", "blocks_1_hierarchy.json"} == set(report.removed)  # of the former run, and not read
    with pytest.raises(HxError, match="is read"):
        hx.extract(part, None, net.parent, weights="share", overwrite=True)
    after = contents(net.parent)
    kept = before.keys() - set(report.removed) - {"index.json"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    hx.load(part).root.extract().validate()


def test_what_somebody_else_put_there_is_not_removed(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    hx.extract(net, "Block", folder)
    mine = {"blocks_0.onnx": b"mine", "thesis.txt": b"mine", "blocks_1_hierarchy.json": b"{}"}
    for name, content in mine.items():
        (folder / name).write_bytes(content)
    report = hx.extract(net, ["blocks.*.fc"], folder, overwrite=True)
    assert report.removed == []
    assert {name: (folder / name).read_bytes() for name in mine} == mine
    report = hx.extract(net, "Block", folder, overwrite=True)
    for rows in ('[{"file": 5}]', '[{"file": "a\\u0000b.onnx"}]', "{}", "[", '[{"file": null}]'):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / "index.json").write_text(rows)
        assert hx.extract(net, "Block", tmp_path / "other", overwrite=True, verify=False).removed == []
    assert {"blocks_0_fc.onnx", "blocks_1_fc.onnx"} <= set(report.removed)
    assert (folder / "thesis.txt").read_bytes() == b"mine"


def test_sharing_replaces_nothing_unless_it_may(net: Path) -> None:
    net.with_name("blocks_1.onnx").write_bytes(b"mine")
    before = contents(net.parent)
    with pytest.raises(HxError) as caught:
        hx.extract(net, "Block", weights="share")
    assert caught.value.code == "HX402"
    assert contents(net.parent) == before


@pytest.mark.parametrize("name", ["net.onnx", "net_hierarchy.json", "w.data"])
def test_no_output_is_what_is_read(tmp_path: Path, name: str) -> None:
    import onnx

    net = tmp_path / "net.onnx"
    export().save(net)
    onnx.save(onnx.load(net), net, save_as_external_data=True, location="w.data", size_threshold=0)
    other = tmp_path / {"net.onnx": "net.onnx", "net_hierarchy.json": "net.onnx", "w.data": "w.onnx"}[name]
    if name == "w.data":
        other.symlink_to("w.data")
    before = contents(tmp_path)
    with pytest.raises(HxError) as caught:
        hx.extract(net, "blocks.0", other, overwrite=True)
    assert caught.value.code == "HX408"
    assert contents(tmp_path) == before


def test_a_session_replaces_a_session_alone(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("mine")
    with pytest.raises(HxError) as caught:
        hx.debug(Net().eval(), thesis, (torch.ones(2, 4),), overwrite=True, verify=False)
    assert caught.value.code == "HX402"
    assert contents(thesis) == {"chapter.tex": b"mine"}
    session = tmp_path / "session"
    hx.debug(Net().eval(), session, (torch.ones(2, 4),), verify=False)
    (session / "notes.txt").write_text("mine")
    (session / "exporter_report.md").unlink(missing_ok=True)
    hx.debug(Net().eval(), session, (torch.ones(2, 4),), overwrite=True, verify=False)
    assert (session / "notes.txt").read_text() == "mine"
