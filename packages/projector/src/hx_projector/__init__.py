"""Which module call made each ONNX node, how that is known, and who consumes it."""

from hx_projector._canonical import structural_digest
from hx_projector._categories import CATEGORIES, Category
from hx_projector._compare import first_difference
from hx_projector._cost import ModelCost, NodeCost, Weight, model_cost
from hx_projector._cost_calls import CallCost, Cost, call_costs, total_cost
from hx_projector._cost_onnx_tool import Arithmetic
from hx_projector._embed import embed, strip_metadata
from hx_projector._project import project, project_file
from hx_projector._read import with_words
from hx_projector._redact import redact_numbers, redact_record, redact_words
from hx_projector._relink import relink
from hx_projector._sources import Claim, Scene, Source
from hx_projector._topology import GraphDifference, graph_difference
from hx_projector._validate import ValidationResult, validate
from hx_projector._validate_meanings import MEANINGS, Meaning
from hx_projector._validate_repair import Repair, repair
from hx_projector._validate_subject import Finding

__all__ = [
    "CATEGORIES",
    "MEANINGS",
    "Arithmetic",
    "CallCost",
    "Category",
    "Claim",
    "Cost",
    "Finding",
    "GraphDifference",
    "Meaning",
    "ModelCost",
    "NodeCost",
    "Repair",
    "Scene",
    "Source",
    "ValidationResult",
    "Weight",
    "call_costs",
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
