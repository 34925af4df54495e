"""The tree of calls, by rows."""

from __future__ import annotations

from hx_graph import CallTree
from hx_sidecar_schema import ModuleCall

TREE = CallTree([ModuleCall(module=row, index=0, parent=parent) for row, parent in enumerate([None, 0, 1, 1, 0])])


def test_calls_are_left_up_to_the_one_that_holds_both() -> None:
    assert list(TREE.leaving(2, 3)) == [2]
    assert list(TREE.leaving(2, 4)) == [2, 1]
    assert list(TREE.leaving(1, 2)) == []


def test_what_goes_outside_leaves_all_calls_and_what_has_no_call_leaves_none() -> None:
    assert list(TREE.leaving(3, None)) == [3, 1, 0]
    assert list(TREE.leaving(None, 3)) == []
