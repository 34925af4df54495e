"""Which module call made each ONNX node, how that is known, and who consumes it.

Nothing is imported before it is used: `CATEGORIES`, `MEANINGS` and the records that are printed need neither onnx-ir
nor NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hx_graph as hx_graph  # before onnx_ir, which then does without sympy
from hx_sidecar_schema import lazy_names

if TYPE_CHECKING:
    from hx_projector.attribution.categories import CATEGORIES, UNCATEGORISED, Category, category_of
    from hx_projector.attribution.project import project, project_file
    from hx_projector.attribution.sources.claim import AttributionInput, Claim, Source
    from hx_projector.comparison.canonical import structural_digest
    from hx_projector.comparison.difference import GraphDifference, graph_difference
    from hx_projector.comparison.ordered import first_difference
    from hx_projector.cost.arithmetic import Arithmetic
    from hx_projector.cost.calls import CallCost, call_costs, total_cost
    from hx_projector.cost.nodes import ModelCost, NodeCost, Weight, model_cost
    from hx_projector.cost.records import Cost, TotalCost, UnknownOperator
    from hx_projector.file_metadata.context import with_words
    from hx_projector.file_metadata.embed import embed, strip_metadata
    from hx_projector.file_metadata.redact import redact_numbers, redact_record, redact_words
    from hx_projector.relinking.relink import relink
    from hx_projector.validation.codes import MEANINGS, Meaning
    from hx_projector.validation.findings import Change, Finding
    from hx_projector.validation.repair import Repair, repair
    from hx_projector.validation.run import ValidationResult, validate

__all__ = [
    "CATEGORIES",
    "MEANINGS",
    "UNCATEGORISED",
    "Arithmetic",
    "AttributionInput",
    "CallCost",
    "Category",
    "Change",
    "Claim",
    "Cost",
    "Finding",
    "GraphDifference",
    "Meaning",
    "ModelCost",
    "NodeCost",
    "Repair",
    "Source",
    "TotalCost",
    "UnknownOperator",
    "ValidationResult",
    "Weight",
    "call_costs",
    "category_of",
    "embed",
    "first_difference",
    "graph_difference",
    "model_cost",
    "project",
    "project_file",
    "redact_numbers",
    "redact_record",
    "redact_words",
    "relink",
    "repair",
    "strip_metadata",
    "structural_digest",
    "total_cost",
    "validate",
    "with_words",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        ".attribution.categories": ("CATEGORIES", "UNCATEGORISED", "Category", "category_of"),
        ".attribution.project": ("project", "project_file"),
        ".attribution.sources.claim": ("AttributionInput", "Claim", "Source"),
        ".comparison.canonical": ("structural_digest",),
        ".comparison.difference": ("GraphDifference", "graph_difference"),
        ".comparison.ordered": ("first_difference",),
        ".cost.arithmetic": ("Arithmetic",),
        ".cost.calls": ("CallCost", "call_costs", "total_cost"),
        ".cost.nodes": ("ModelCost", "NodeCost", "Weight", "model_cost"),
        ".cost.records": ("Cost", "TotalCost", "UnknownOperator"),
        ".file_metadata.context": ("with_words",),
        ".file_metadata.embed": ("embed", "strip_metadata"),
        ".file_metadata.redact": ("redact_numbers", "redact_record", "redact_words"),
        ".relinking.relink": ("relink",),
        ".validation.codes": ("MEANINGS", "Meaning"),
        ".validation.findings": ("Change", "Finding"),
        ".validation.repair": ("Repair", "repair"),
        ".validation.run": ("ValidationResult", "validate"),
    },
)
