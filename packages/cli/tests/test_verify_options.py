"""`hx verify`: memory, inputs, options that cannot be read, and what a person sees."""

from __future__ import annotations

import re

import numpy as np
import pytest


class TestMemory:
    """How much is held at once, and that nothing else depends on it."""

    def test_smaller_means_more_runs_and_the_same_numbers(self, hx, exported, verify, verify_models, plant):
        path = exported("shared")
        plant(path, "blocks.0.inner.weight")
        refused = hx("verify", path, "--against", f"{verify_models}:shared", "--memory", "1B")
        assert (refused.code, "HX420" in refused.err, "--memory SIZE" in refused.err) == (2, True, True)
        least = int(re.search(r"at least (\d+)", refused.err)[1])
        reports = [
            verify(path, *memory).record for memory in ((), ("--memory", f"{2 * least}"), ("--memory", f"{least}"))
        ]
        batches = [report.pop("batches") for report in reports]
        sizes = [report.pop("memory_bytes") for report in reports]
        assert reports[0] == reports[1] == reports[2]
        assert sizes == [2 * 10**9, 2 * least, least]
        assert batches[0] == 1
        assert batches[0] < batches[1] < batches[2]


class TestInputs:
    """`--inputs FILE`."""

    def test_other_values_and_sizes(self, exported, verify, tmp_path, plant):
        path = exported("tower", "--dynamic")
        plant(path, "blocks.2.inner.weight")
        np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(5, 4)))
        report = verify(path, "--inputs", tmp_path / "x.npz")
        assert report.named == "blocks.2.inner"
        assert report["inputs"] == "x.npz"
        recorded = verify(path)
        assert recorded["inputs"] == "recorded"
        assert recorded.of("")["local"] != report.of("")["local"]

    def test_an_error_that_they_do_not_show(self, exported, verify, tmp_path, plant):
        """A wrong factor of zero is right."""
        path = exported("tower")
        plant(path, "blocks.0.inner.weight")
        np.savez(tmp_path / "zero.npz", x=np.zeros((3, 4), np.float32))
        assert verify(path, "--inputs", tmp_path / "zero.npz").named is None

    @pytest.mark.parametrize(
        ("arrays", "code", "said"),
        [
            ({"x": np.zeros((5, 4))}, "HX409", "[5, 4]"),
            ({"x": np.zeros((3, 4, 1))}, "HX409", "[3, 4, 1]"),
            ({"y": np.zeros((3, 4))}, "HX109", "'y'"),
        ],
    )
    def test_that_do_not_fit(self, hx, exported, verify_models, tmp_path, arrays, code, said):
        path = exported("tower")
        np.savez(tmp_path / "x.npz", **arrays)
        error = hx("verify", path, "--against", f"{verify_models}:tower", "--inputs", tmp_path / "x.npz").error
        assert code in error
        assert said in error

    def test_no_file(self, hx, exported, verify_models):
        path = exported("tower")
        assert "HX110" in hx("verify", path, "--against", f"{verify_models}:tower", "--inputs", "none.npz").error


class TestBadInput:
    """Exit 2, two lines."""

    def test_no_model_to_compare_with(self, hx, exported):
        error = hx("verify", exported("tower")).error
        assert "HX405" in error
        assert "--against" in error

    @pytest.mark.parametrize(
        "options",
        [
            ["--memory", "much"],
            ["--memory", "0"],
            ["--fail-over", "nan"],
            ["--fail-over", "-1"],
            ["--fail-over", "small"],
            ["--top", "0"],
        ],
    )
    def test_options_that_cannot_be_read(self, hx, exported, verify_models, options):
        error = hx("verify", exported("tower"), "--against", f"{verify_models}:tower", *options).error
        assert options[0] in error or options[1] in error
        assert "HX405" in error or "HX406" in error

    def test_another_model(self, hx, exported, verify_models):
        path = exported("tower")
        assert "HX407" in hx("verify", path, "--against", f"{verify_models}:fused").error
        result = hx("verify", path, "--against", f"{verify_models}:another")
        assert result.code == 1
        assert "9 calls not compared" in result.out

    def test_no_export_here(self, hx, verify_models, tmp_path):
        assert "HX403" in hx("verify", "--against", f"{verify_models}:tower", cwd=tmp_path).error


class TestView:
    """What a person sees."""

    def test_one_line_names_the_culprit(self, hx, exported, verify_models, plant):
        path = exported("tower")
        plant(path, "blocks.1.inner.weight")
        result = hx("verify", "--against", f"{verify_models}:tower", cwd=path.parent)
        assert result.code == 1
        assert result.err == ""
        first = result.out.splitlines()[0]
        assert first.startswith("first wrong: blocks.1.inner, output output: local 1")
        assert "accumulated 1" in first
        assert result.out.splitlines()[1].strip() == "/Tower/Block.1/Linear"
        rows = [line.split() for line in result.out.splitlines() if line.startswith(" ")]
        worst = [float(cells[2]) for cells in rows if len(cells) == 6 and cells[-1].isdigit()]
        assert len(worst) == 10
        assert worst == sorted(worst, reverse=True)

    def test_top(self, hx, exported, verify_models):
        path = exported("tower")
        few = hx("verify", path, "--against", f"{verify_models}:tower", "--top", "2").out
        assert "8 with smaller local errors" in few
        assert "with smaller" not in hx("verify", path, "--against", f"{verify_models}:tower").out

    @pytest.mark.parametrize("columns", [60, 80, 120])
    def test_fits_the_terminal(self, hx, bert, columns):
        result = hx("verify", bert, "--against", "tiny:bert", columns=columns)
        assert result.code == 0
        assert max(map(len, result.out.splitlines())) <= columns
        assert "attention.self" in result.out

    def test_quiet_keeps_the_answer(self, hx, exported, verify_models):
        result = hx("-q", "verify", exported("tower"), "--against", f"{verify_models}:tower")
        assert result.out.startswith("no call is wrong")
        assert len(result.out.splitlines()) == 1
