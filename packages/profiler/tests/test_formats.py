"""Files for other programs."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from hx_profiler import to_chrome_trace, to_csv, to_html, to_speedscope

SCHEMA = Path(__file__).parent / "data" / "speedscope-file-format-schema.json"
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@pytest.fixture
def measured(branching, measure):
    """A loop with a branch in its body, run and attributed."""
    return measure(branching)


def test_speedscope_files_fit_the_published_schema(measured):
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(to_speedscope(measured))


def test_weights_of_speedscope_are_all_of_the_time(measured):
    made = to_speedscope(measured)
    by_module = made["profiles"][0]
    assert sum(by_module["weights"]) == by_module["endValue"] == measured.profile.kernels_us
    names = [[made["shared"]["frames"][frame]["name"] for frame in stack] for stack in by_module["samples"]]
    assert ["/Net", "/Net/Block", "/Net/Block/Inner", "MatMul inner"] in names


def test_events_of_speedscope_open_and_close_in_order(measured):
    made = to_speedscope(measured)
    one_run = made["profiles"][1]
    stack, now, stacks = [], 0, set()
    for event in one_run["events"]:
        assert event["at"] >= now
        now = event["at"]
        if event["type"] == "O":
            stack.append(event["frame"])
            stacks.add(tuple(made["shared"]["frames"][frame]["name"] for frame in stack))
        else:
            assert stack.pop() == event["frame"]
    assert stack == []
    assert now == one_run["endValue"]
    inside_the_loop = ("/Net", "/Net/Block", "Loop loop", "/Net/Block/Inner", "If branch", "MatMul yes")
    assert inside_the_loop in stacks


def test_a_span_ends_with_the_one_around_it(trace_file, measurement_of, branching_net):
    """Of the profile the inner one seems to end a microsecond later."""
    rows = [("yes", "MatMul", 0, 27, 4), ("branch", "If", 2, 26, 5), ("loop", "Loop", 1, 20, 10)]
    made = to_speedscope(measurement_of(trace_file(rows), *branching_net))
    closed = [event["at"] for event in made["profiles"][1]["events"] if event["type"] == "C"]
    assert set(closed) == {10}


def test_slices_of_the_chrome_trace_nest(measured):
    made = json.loads(json.dumps(to_chrome_trace(measured)))
    slices = [event for event in made["traceEvents"] if event["ph"] == "X"]
    assert {"name", "ph", "pid", "tid", "ts", "dur", "cat"} <= set(slices[0])
    assert sum(event["cat"] == "run" for event in slices) == measured.profile.runs
    kernels = [event for event in slices if event["cat"] == "kernel"]
    assert len(kernels) == len(measured.trace.events)
    around = []
    for event in slices:  # the outer one stands first
        while around and around[-1]["ts"] + around[-1]["dur"] <= event["ts"] and not _holds(around[-1], event):
            around.pop()
        while around and not _holds(around[-1], event):
            around.pop()
        assert around or event["cat"] == "run"
        around.append(event)
    assert next(event for event in kernels if event["name"] == "MatMul inner")["args"]["node"] == "b.body:t"


@pytest.mark.parametrize("name", ["red\x1b[31m", "left\u202eright", "x" * 10_000, "back\\"])
def test_names_are_text_that_can_be_seen_and_others_stay_as_they_are(measured, name):
    named = {"block": name, "block.inner": "模块"}
    calls = [
        call.model_copy(
            update={"fqn": said, "tag": f"/Net/{said}", "class_name": said} if (said := named.get(call.fqn)) else {}
        )
        for call in measured.profile.calls
    ]
    kernels = [kernel.model_copy(update={"name": name, "node": name}) for kernel in measured.profile.kernels]
    profile = measured.profile.model_copy(update={"calls": calls, "kernels": kernels, "model": f"{name}.onnx"})
    for made in (to_chrome_trace, to_speedscope):
        text = json.dumps(made(replace(measured, profile=profile)), ensure_ascii=False)
        assert not any(part in text for part in ("\\u001b", "\u202e", "x" * 500))
        assert "/Net/模块" in text
        assert made is not to_chrome_trace or "\\" not in text, "Perfetto 52 does not read a name that ends with one"


def _holds(outer, inner):
    return outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]


def test_the_table_has_every_call_and_all_of_the_time(measured, trace_file, profile_of):
    rows = list(csv.DictReader(io.StringIO(to_csv(measured.profile))))
    assert [row["fqn"] for row in rows] == ["", "block", "block.inner"]
    assert sum(int(row["self_us"]) for row in rows) == measured.profile.kernels_us
    text = '<ir_version: 10, opset_import: ["" : 20]> net (float[4,4] x) => (float[4,4] y) { [one] y = Relu(x) }'
    lost = profile_of(trace_file([("one", "Relu", 0, 10, 5), ("m", "Memcpy", 9, 16, 7)]), text)
    rows = list(csv.DictReader(io.StringIO(to_csv(lost))))
    assert (rows[-1]["tag"], rows[-1]["self_us"]) == ("(unattributed)", "7")


def test_the_page_loads_nothing_and_no_name_can_end_its_script(measured):
    profile = measured.profile.model_copy(update={"model": "</script><b>.onnx"})
    page = to_html(profile)
    assert not re.findall(r"(?:src|href)=|https?:|@import|url\(", page)
    assert page.count("</script>") == 2
    held = json.loads(re.search(r'type="application/json">(.*?)</script>', page)[1])
    assert held["model"] == "</script><b>.onnx"
    assert held["boxes"][0]["total"] == measured.profile.kernels_us


@pytest.mark.skipif(CHROMIUM is None, reason="no browser")
def test_the_page_draws_in_a_browser(measured, tmp_path):
    page = tmp_path / "flame.html"
    page.write_text(to_html(measured.profile))
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'browser'}",
            "--virtual-time-budget=2000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    boxes = len(measured.profile.calls) + len(measured.profile.kernels)
    assert f'data-ready="{boxes}"' in done.stdout, done.stderr[-2000:]
    assert done.stdout.count('class="box call"') == 3
