"""What a run is asked for, before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import hx
from hx.records.fleet import FleetRun
from hx_fleet._models import expand
from hx_fleet._settings import read_run, units_of
from hx_fleet.worker.run import _outcome
from hx_fleet.worker.steps import Task


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_list_stands_for_models(tmp_path: Path) -> None:
    files(tmp_path, "a/x.onnx", "a/deep/y.onnx", "a/hub/config.json", "b/z.onnx", "models.py")
    (tmp_path / "more.csv").write_text(
        "model,name,dtype,random_weights,\nmodels.py:tiny,third,float16,true,\n\norg/name,,,\n", encoding="utf-8-sig"
    )
    listed = expand(
        ["a", "b/*.onnx", "more.csv", {"model": "models.py:made", "task": "any"}, "tiny:bert", "models.py:other"],
        tmp_path,
    )
    assert [one.name for one in listed] == [
        *("a/deep/y.onnx", "a/hub", "a/x.onnx", "b/z.onnx", "third", "org/name", "models.py:made", "tiny:bert"),
        "models.py:other",
    ]
    by_name = {one.name: one for one in listed}
    assert by_name["a/hub"].model == str(tmp_path / "a" / "hub")
    assert by_name["third"].model == f"{tmp_path / 'models.py'}:tiny"
    assert by_name["third"].loading == {"dtype": "float16", "random_weights": True}
    assert by_name["org/name"].model == "org/name"
    assert by_name["models.py:made"].loading == {"task": "any"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"model,name\nx.onnx,a,b\n", "line 2 has more cells"),
        ("model,name\nx.onnx,\u00e9\n".encode("latin1"), "utf-8"),
        (b",model\n0,x.onnx\n", "line 2 has '0' in a column without a name"),
        (b"model,task,model\nx.onnx,,y.onnx\n", "two columns 'model'"),
    ],
)
def test_a_list_that_cannot_be_read(text: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(text)
    with pytest.raises(hx.HxError, match=says) as caught:
        expand(["list.csv"], tmp_path)
    assert caught.value.code == "HX406"


def test_names_are_those_that_files_have(tmp_path: Path) -> None:
    """Links are not followed: the cache of the Hub has them, to files without a suffix."""
    files(tmp_path, "blobs/4f2a", "cache/x[1].onnx", "run/artefacts/a/model.onnx", "run/artefacts/b/config.json")
    for name in ("model.onnx", "twin.onnx"):
        (tmp_path / "cache" / name).symlink_to("../blobs/4f2a")
    assert [one.name for one in expand(["cache/x[1].onnx"], tmp_path)] == ["cache/x[1].onnx"]
    names = ["cache/model.onnx", "cache/twin.onnx", "cache/x[1].onnx"]
    for entry in (".", "**/*", "cache"):
        listed = expand([entry], tmp_path, tmp_path / "run")
        assert [one.name for one in listed] == names
        assert [one.model for one in listed] == [str(tmp_path / name) for name in names]
    assert len(expand(["run/artefacts/*"], tmp_path, tmp_path / "other")) == 2


def test_all_architectures_of_transformers() -> None:
    names = [one.name for one in expand(["tiny:*"], Path())]
    assert len(names) > 300
    assert names == sorted(names)
    assert {"tiny:bert", "tiny:gpt2"} <= set(names)
    assert {one.name for one in expand(["tiny:gpt2", "tiny:gpt*"], Path())} == {
        n for n in names if n.startswith("tiny:gpt")
    }


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"models": []}, "HX405", "No model"),
        ({"models": ["none/*.onnx"]}, "HX405", "stands for no model"),
        ({"models": [{"model": "tiny:a", "name": "x"}, {"model": "tiny:b", "name": "x"}]}, "HX405", "called 'x'"),
        ({"models": [{"model": "tiny:a", "dtipe": "float16"}]}, "HX406", "'dtipe'"),
        ({"models": ["none.csv"]}, "HX406", "none.csv' cannot be read: No such file"),
        ({"models": [{"model": "tiny:a", "name": 3}]}, "HX406", "'name' is 3"),
        ({"models": [{"model": "x.onnx", "against": 3}]}, "HX406", "'against' is 3"),
        ({"models": [{"model": "tiny:a", "random_weights": "no"}]}, "HX406", "'random_weights' is 'no'"),
        ({"models": ["tiny:a"], "steps": ["exprot"]}, "HX406", "'exprot'"),
        ({"models": ["tiny:a"], "steps": []}, "HX406", "'steps'"),
        ({"models": ["tiny:a"], "steps": ["export", "export"]}, "HX406", "'export' is named twice"),
        ({"models": ["tiny:a"], "steps": ["none.py:step"]}, "HX406", "'none.py', which is no file"),
        ({"models": ["tiny:a"], "steps": ["none:"]}, "HX406", "'none:' is no function"),
        (
            {"models": ["tiny:a"], "options": {"export": {"dynamic": {1}}}},
            "HX406",
            r"'dynamic' of step 'export' is \{1\}",
        ),
        ({"models": ["tiny:a"], "step": ["export"]}, "HX406", "'step'"),
        ({"models": ["tiny:a"], "timeout_s": 0}, "HX406", "'timeout_s'"),
        ({"models": ["tiny:a"], "keep": ["all"]}, "HX406", "'all'"),
        ({"models": ["tiny:a"], "options": {"verify": {}}}, "HX406", "'verify'"),
        ({"models": ["tiny:a"], "options": {"export": {"dinamic": True}}}, "HX406", "'dinamic'"),
        ({"models": ["tiny:a"], "options": {"export": {"f": "x"}}}, "HX406", "'f'"),
        ({"models": [{"model": "x.onnx"}], "steps": ["project", "extract"], "split_calls": 2}, "HX406", "no sidecar"),
        (["tiny:a"], "HX406", "is no run"),
    ],
)
def test_what_a_run_cannot_be(fields: Any, code: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(hx.HxError, match=says) as caught:
        hx.fleet(fields, tmp_path / "run")
    assert caught.value.code == code
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "hint"),
    [({"memory_bytes": "4GB"}, "Memory of one model's process, in bytes"), ({"memory": 4}, "A run has models, steps")],
)
def test_the_next_step_for_a_field_that_is_wrong(fields: dict[str, Any], hint: str, tmp_path: Path) -> None:
    with pytest.raises(hx.HxError) as caught:
        hx.fleet({"models": ["tiny:a"], **fields}, tmp_path / "run")
    assert hint in caught.value.hint


def test_a_file_that_is_no_run(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    for text in (None, "models = ["):
        if text is not None:
            path.write_text(text)
        with pytest.raises(hx.HxError, match="cannot be read") as caught:
            hx.fleet(path)
        assert caught.value.code == "HX406"


def test_names_of_units_do_not_depend_on_where_the_run_lies(tmp_path: Path) -> None:
    ids: list[list[str]] = []
    for place in ("one", "two"):
        files(tmp_path / place, "x.onnx", "y.onnx", "s.py")
        path = tmp_path / place / "run.toml"
        table = '{ model = "y.onnx", against = "s.py:made" }'
        path.write_text(f'models = ["x.onnx", "tiny:a", {table}]\nsteps = ["validate", "s.py:step"]\n')
        ids.append([unit.id for unit in units_of(*read_run(path, {}), None)])
    assert ids[0] == ids[1]
    other = units_of(FleetRun(models=["x.onnx"], steps=["validate", "analyze"]), tmp_path / "one", None)
    assert other[0].id not in ids[0]
    named = [FleetRun(models=[{"model": model, "name": "mine"}]) for model in ("x.onnx", "y.onnx")]
    one, two = (units_of(settings, tmp_path / "one", None)[0] for settings in named)
    assert one.id != two.id


def test_shards_are_the_whole(tmp_path: Path) -> None:
    settings = FleetRun(models=[f"tiny:m{place}" for place in range(7)])
    shards = [units_of(settings, tmp_path, f"{place}/3") for place in (1, 2, 3)]
    assert sorted(map(len, shards)) == [2, 2, 3]
    assert {unit.id for shard in shards for unit in shard} == {unit.id for unit in units_of(settings, tmp_path, None)}
    for text in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(hx.HxError, match="Shard") as caught:
            units_of(settings, tmp_path, text)
        assert caught.value.code == "HX406"


def test_models_of_python(tmp_path: Path) -> None:
    files(tmp_path, "x.onnx")
    fields = {"models": [tmp_path / "x.onnx", hx.ModelSpec("tiny:a", dtype="float16")], "steps": ["validate"]}
    units = units_of(*read_run(fields, {}), None)
    assert [(unit.name, unit.loading) for unit in units] == [
        (str(tmp_path / "x.onnx"), {}),
        ("tiny:a", {"dtype": "float16"}),
    ]


@pytest.mark.parametrize("missing", ["hx_fleet", "pyarrow"])
def test_a_package_that_is_not_installed(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "hx_fleet"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(hx.HxError, match=f"{missing} is not installed") as caught:
        hx.fleet({"models": ["tiny:a"]})
    assert (caught.value.code, "hx-onnx[fleet]" in caught.value.hint) == ("HX216", True)


def test_the_log_of_a_model_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(_: Task) -> dict[str, Any]:
        raise hx.HxError("It is 3.", code="HX101", hint="Make it 4.")

    row = _outcome(refused, Task("a", "a", None), tmp_path)
    assert (row["code"], row["cause"]) == ("HX101", "It is 3.")
    assert capsys.readouterr().out == "It is 3.\nHX101: Make it 4.\n"
