"""Which module call made each ONNX node, how that is known, and who consumes it."""

from hx_projector._categories import CATEGORIES, Category
from hx_projector._compare import first_difference
from hx_projector._embed import embed, strip_metadata
from hx_projector._project import project, project_file
from hx_projector._read import with_words
from hx_projector._sources import Claim, Scene, Source
from hx_projector._topology import GraphDifference, graph_difference, structural_digest
from hx_projector._validate import ValidationResult, validate
from hx_projector._validate_meanings import MEANINGS, Meaning
from hx_projector._validate_repair import Repair, repair
from hx_projector._validate_subject import Finding

__all__ = [
    "CATEGORIES",
    "MEANINGS",
    "Category",
    "Claim",
    "Finding",
    "GraphDifference",
    "Meaning",
    "Repair",
    "Scene",
    "Source",
    "ValidationResult",
    "embed",
    "first_difference",
    "graph_difference",
    "project",
    "project_file",
    "repair",
    "strip_metadata",
    "structural_digest",
    "validate",
    "with_words",
]
