"""Who is told of what a trace decided, where several threads trace."""

import threading
import warnings

from hx_sidecar_schema import ignore_warnings
from hx_tracer.watch.decisions import watching_decisions


def decide() -> None:
    warnings.warn("Converting a tensor to a Python boolean might cause the trace to be incorrect.", stacklevel=2)


def test_each_thread_has_its_own_places_and_nothing_is_left_behind() -> None:
    before, shown = list(warnings.filters), warnings.showwarning
    begun, ended = threading.Barrier(2), threading.Barrier(2)
    found: dict[str, list[str]] = {}

    def trace(name: str, first_to_end: bool) -> None:
        with ignore_warnings, watching_decisions() as places:
            begun.wait()
            if name == "decides":
                decide()
                decide()
            warnings.warn("Something else.", stacklevel=1)
            if not first_to_end:
                ended.wait()
        if first_to_end:
            ended.wait()
        found[name] = places

    threads = [threading.Thread(target=trace, args=one) for one in (("decides", True), ("does not", False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [place.partition(":")[0] for place in found["decides"]] == ["test_decisions.py", "test_decisions.py"]
    assert found["does not"] == []
    assert (list(warnings.filters), warnings.showwarning) == (before, shown)
