"""The versioned records that pass between hx's packages and into files.

Nothing is imported before it is used: errors and names of modules need no pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hx_sidecar_schema._lazy import lazy_names

if TYPE_CHECKING:
    from hx_sidecar_schema._collector import collector_paused
    from hx_sidecar_schema._context import CONTEXT_VERSION, ModuleContext
    from hx_sidecar_schema._digest import file_digest, graph_digest
    from hx_sidecar_schema._errors import (
        ForeignSidecar,
        HxError,
        MissingSidecar,
        MissingValue,
        ModelDoesNotRun,
        UnavailableValue,
        UnfitInputs,
        first_line,
    )
    from hx_sidecar_schema._files import atomic_folder, final_folder
    from hx_sidecar_schema._html import html_table
    from hx_sidecar_schema._observation import (
        Fingerprint,
        Observation,
        Operation,
        PortValue,
        sample_positions,
    )
    from hx_sidecar_schema._patterns import find_calls
    from hx_sidecar_schema._records import (
        CategoryStatistics,
        Confidence,
        CutFrom,
        Disagreement,
        Evidence,
        Example,
        Initializer,
        ModelInfo,
        Module,
        ModuleCall,
        Node,
        Port,
        Provenance,
        Record,
        RecoveredNode,
        Status,
        Summary,
        TensorInfo,
    )
    from hx_sidecar_schema._sidecar import EMBEDDED, SIDECAR_VERSION, Sidecar, embedded, from_embedded
    from hx_sidecar_schema._strategies import STRATEGIES, Strategy, find_strategy, with_witness
    from hx_sidecar_schema._tags import CONTAINERS, TorchNN, build_tags, is_tagged, simple_name
    from hx_sidecar_schema._trees import depths, subtree_ends

__all__ = [
    "CONTAINERS",
    "CONTEXT_VERSION",
    "EMBEDDED",
    "SIDECAR_VERSION",
    "STRATEGIES",
    "CategoryStatistics",
    "Confidence",
    "CutFrom",
    "Disagreement",
    "Evidence",
    "Example",
    "Fingerprint",
    "ForeignSidecar",
    "HxError",
    "Initializer",
    "MissingSidecar",
    "MissingValue",
    "ModelDoesNotRun",
    "ModelInfo",
    "Module",
    "ModuleCall",
    "ModuleContext",
    "Node",
    "Observation",
    "Operation",
    "Port",
    "PortValue",
    "Provenance",
    "Record",
    "RecoveredNode",
    "Sidecar",
    "Status",
    "Strategy",
    "Summary",
    "TensorInfo",
    "TorchNN",
    "UnavailableValue",
    "UnfitInputs",
    "atomic_folder",
    "build_tags",
    "collector_paused",
    "depths",
    "embedded",
    "file_digest",
    "final_folder",
    "find_calls",
    "find_strategy",
    "first_line",
    "from_embedded",
    "graph_digest",
    "html_table",
    "is_tagged",
    "lazy_names",
    "sample_positions",
    "simple_name",
    "subtree_ends",
    "with_witness",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "._collector": ("collector_paused",),
        "._context": ("CONTEXT_VERSION", "ModuleContext"),
        "._digest": ("file_digest", "graph_digest"),
        "._errors": (
            "ForeignSidecar",
            "HxError",
            "MissingSidecar",
            "MissingValue",
            "ModelDoesNotRun",
            "UnavailableValue",
            "UnfitInputs",
            "first_line",
        ),
        "._files": ("atomic_folder", "final_folder"),
        "._html": ("html_table",),
        "._observation": ("Fingerprint", "Observation", "Operation", "PortValue", "sample_positions"),
        "._patterns": ("find_calls",),
        "._records": (
            "CategoryStatistics",
            "Confidence",
            "CutFrom",
            "Disagreement",
            "Evidence",
            "Example",
            "Initializer",
            "ModelInfo",
            "Module",
            "ModuleCall",
            "Node",
            "Port",
            "Provenance",
            "Record",
            "RecoveredNode",
            "Status",
            "Summary",
            "TensorInfo",
        ),
        "._sidecar": ("EMBEDDED", "SIDECAR_VERSION", "Sidecar", "embedded", "from_embedded"),
        "._strategies": ("STRATEGIES", "Strategy", "find_strategy", "with_witness"),
        "._tags": ("CONTAINERS", "TorchNN", "build_tags", "is_tagged", "simple_name"),
        "._trees": ("depths", "subtree_ends"),
    },
)
