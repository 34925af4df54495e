"""Walks over ONNX graphs, the tree of calls and the rule of the cut: what hx's packages share."""

from hx_graph.call_tree import CallTree
from hx_graph.dims import dims_of, is_size_query, queried_dims, shape_from
from hx_graph.examples import example_array, example_record
from hx_graph.files import read_model
from hx_graph.identity import body_path, function_path, output_of
from hx_graph.nested import (
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
from hx_graph.reads import captured_values, in_order, reads
from hx_graph.session import import_runtime, make_session, open_session, run_session
from hx_graph.types import infer_types, value_types, without_weights
from hx_graph.weights import initializer_rows, replaced_tensors

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
