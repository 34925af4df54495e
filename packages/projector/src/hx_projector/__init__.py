"""Which module call made each ONNX node, how that is known, and who consumes it."""

from hx_projector.attribution.categories import CATEGORIES, Category
from hx_projector.attribution.project import project, project_file
from hx_projector.attribution.sources import Claim, Scene, Source
from hx_projector.comparison.canonical import structural_digest
from hx_projector.comparison.difference import GraphDifference, graph_difference
from hx_projector.comparison.ordered import first_difference
from hx_projector.cost.arithmetic import Arithmetic
from hx_projector.cost.calls import CallCost, Cost, call_costs, total_cost
from hx_projector.cost.nodes import ModelCost, NodeCost, Weight, model_cost
from hx_projector.file_metadata.context import with_words
from hx_projector.file_metadata.embed import embed, strip_metadata
from hx_projector.file_metadata.redact import redact_numbers, redact_record, redact_words
from hx_projector.relinking.relink import relink
from hx_projector.validation.codes import MEANINGS, Meaning
from hx_projector.validation.repair import Repair, repair
from hx_projector.validation.run import ValidationResult, validate
from hx_projector.validation.subject import Finding

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
