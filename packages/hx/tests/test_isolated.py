"""Calls timed alone, here and elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import hx
from hx.records.profile import AloneCall

ONE_RUN = {"runs": 1, "warmup": 0}


def test_what_was_timed_alone_elsewhere_is_not_timed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hx_profiler.reports.isolated.COLD_BYTES", 1000)
    layers = torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    exported = hx.export(torch.nn.Sequential(*layers), (torch.ones(2, 4),))
    runs: list[object] = []
    run = hx.Hierarchy.run

    def counted(model: hx.Hierarchy, *args: Any, **options: Any) -> Any:
        runs.append(args)
        return run(model, *args, **options)

    monkeypatch.setattr(hx.Hierarchy, "run", counted)
    alone = hx.profile_alone(exported, **ONE_RUN)
    assert len(runs) == 1, "once for the inputs of all calls"
    monkeypatch.setattr("hx_profiler.reports.isolated._wall", lambda *_, **__: -1.0)
    parts = [alone.model_copy(update={"calls": alone.calls[first::2]}) for first in (1, 0)]
    report = hx.profile_isolated(exported, measured=parts, **ONE_RUN)
    assert [call.model_dump(include=set(AloneCall.model_fields)) for call in report.calls] == [
        call.model_dump() for call in alone.calls
    ]
    assert all(call.wall_warm_us > 0 for call in report.calls)
    assert report.calls[0].in_model_kernels > 0
    some = hx.profile_isolated(exported, measured=parts[:1], **ONE_RUN)
    assert [call.wall_warm_us == -1.0 for call in some.calls] == [True, False, True, False]
