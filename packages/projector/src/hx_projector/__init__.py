"""Which module call made each ONNX node, how that is known, and who consumes it."""

from hx_projector._categories import CATEGORIES, Category
from hx_projector._compare import first_difference
from hx_projector._embed import embed, strip_metadata
from hx_projector._project import project

__all__ = ["CATEGORIES", "Category", "embed", "first_difference", "project", "strip_metadata"]
