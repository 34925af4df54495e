"""PyTorch models to ONNX, with every module call recorded on the way."""

from hx_tracer.exporting.errors import ExportError
from hx_tracer.exporting.export import Exported, export, export_with_first
from hx_tracer.exporting.plain import plain_export
from hx_tracer.exporting.results import other_structure, outputs_of
from hx_tracer.exporting.without_graph_values import observed_context
from hx_tracer.inputs.arguments import (
    FlatArguments,
    argument_paths,
    as_real,
    example_record,
    input_paths,
    named_parameters,
    split_arguments,
    tensors_in,
)
from hx_tracer.inputs.dynamic_axes import dynamic_shapes, free_axes
from hx_tracer.inputs.example import ExampleInputs, as_tensor, example_inputs
from hx_tracer.inputs.file import read_inputs
from hx_tracer.inputs.generate import float_dtype
from hx_tracer.models.implementations import set_implementation
from hx_tracer.models.records import module_records
from hx_tracer.models.spec import LoadedModel, load_model
from hx_tracer.watch.call_values import CallValues, record_call_values, record_exact_values
from hx_tracer.watch.lazy import initialize_lazy
from hx_tracer.watch.ports import forward_signature, input_ports, output_ports
from hx_tracer.watch.preserve import preserve_state

__all__ = [
    "CallValues",
    "ExampleInputs",
    "ExportError",
    "Exported",
    "FlatArguments",
    "LoadedModel",
    "argument_paths",
    "as_real",
    "as_tensor",
    "dynamic_shapes",
    "example_inputs",
    "example_record",
    "export",
    "export_with_first",
    "float_dtype",
    "forward_signature",
    "free_axes",
    "initialize_lazy",
    "input_paths",
    "input_ports",
    "load_model",
    "module_records",
    "named_parameters",
    "observed_context",
    "other_structure",
    "output_ports",
    "outputs_of",
    "plain_export",
    "preserve_state",
    "read_inputs",
    "record_call_values",
    "record_exact_values",
    "set_implementation",
    "split_arguments",
    "tensors_in",
]
