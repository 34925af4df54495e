"""Sources of evidence by name.

Other packages add theirs under the entry point group `hx_projector.sources`.
"""

from __future__ import annotations

import importlib.metadata

from hx_projector._claims import AttributionInput, Claims, Source
from hx_projector.attribution.sources.dataflow import claim_by_dataflow
from hx_projector.attribution.sources.exporter import claim_by_exporter
from hx_projector.attribution.sources.parameter import claim_by_parameter
from hx_sidecar_schema import HxError

ENTRY_POINTS = "hx_projector.sources"


def find_source(name: str) -> Source:
    """Return a source by its name: one of hx's own, or one that another package adds.

    Raises:
        HxError: HX122 if there is none of that name.
    """
    if name in SOURCES:
        return SOURCES[name]
    others = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in others:
        raise HxError(
            f"There is no source of evidence named {name!r}; there are {', '.join([*SOURCES, *others])}.",
            code="HX122",
            hint=f"Install the package that adds it under the entry point group {ENTRY_POINTS!r}.",
        )
    return others[name].load()


def _claim_by_values(given: AttributionInput) -> Claims:
    return given.by_values


SOURCES: dict[str, Source] = {
    "exporter": claim_by_exporter,
    "witness": _claim_by_values,
    "parameter": claim_by_parameter,
    "dataflow": claim_by_dataflow,
}
