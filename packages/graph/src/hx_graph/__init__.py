"""Walks over ONNX graphs, the tree of calls and the rule of the cut: what hx's packages share.

Nothing is imported before it is used. Who imports this package before onnx_ir imports onnx_ir without sympy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hx_graph._without_sympy import defer_sympy
from hx_sidecar_schema import lazy_names

if TYPE_CHECKING:
    from hx_graph._call_tree import CallTree
    from hx_graph._dims import dims_of, is_size_query, queried_dims, shape_from
    from hx_graph._examples import example_array, example_record
    from hx_graph._files import read_model
    from hx_graph._identity import body_path, function_path, output_of
    from hx_graph._nested import (
        all_graphs,
        all_nodes,
        bodies_in,
        body_inputs,
        nested_graphs,
        nodes_below,
        nodes_in,
        values_by_name,
        values_in,
    )
    from hx_graph._reads import captured_values, in_order, reads
    from hx_graph._session import import_runtime, make_session, open_session, run_session
    from hx_graph._types import infer_types, value_types, without_weights
    from hx_graph._weights import initializer_rows, replaced_tensors

__all__ = [
    "CallTree",
    "all_graphs",
    "all_nodes",
    "bodies_in",
    "body_inputs",
    "body_path",
    "captured_values",
    "dims_of",
    "example_array",
    "example_record",
    "function_path",
    "import_runtime",
    "in_order",
    "infer_types",
    "initializer_rows",
    "is_size_query",
    "make_session",
    "nested_graphs",
    "nodes_below",
    "nodes_in",
    "open_session",
    "output_of",
    "queried_dims",
    "read_model",
    "reads",
    "replaced_tensors",
    "run_session",
    "shape_from",
    "value_types",
    "values_by_name",
    "values_in",
    "without_weights",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "._call_tree": ("CallTree",),
        "._dims": ("dims_of", "is_size_query", "queried_dims", "shape_from"),
        "._examples": ("example_array", "example_record"),
        "._files": ("read_model",),
        "._identity": ("body_path", "function_path", "output_of"),
        "._nested": (
            "all_graphs",
            "all_nodes",
            "bodies_in",
            "body_inputs",
            "nested_graphs",
            "nodes_below",
            "nodes_in",
            "values_by_name",
            "values_in",
        ),
        "._reads": ("captured_values", "in_order", "reads"),
        "._session": ("import_runtime", "make_session", "open_session", "run_session"),
        "._types": ("infer_types", "value_types", "without_weights"),
        "._weights": ("initializer_rows", "replaced_tensors"),
    },
)


defer_sympy()
