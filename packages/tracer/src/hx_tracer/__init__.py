"""PyTorch models to ONNX, with every module call recorded on the way."""

from hx_tracer._dynamic import dynamic_shapes, free_axes, input_paths, parse_axis
from hx_tracer._errors import ExportError
from hx_tracer._examples import example_record
from hx_tracer._export import Exported, export, export_with_first
from hx_tracer._implementations import set_implementation
from hx_tracer._independent import plain_export
from hx_tracer._inputs import ExampleInputs, example_inputs
from hx_tracer._modules import module_records
from hx_tracer._ports import input_ports, output_ports
from hx_tracer._spec import LoadedModel, load_model
from hx_tracer._unchanged import unchanged
from hx_tracer._unplaced import observed_context

__all__ = [
    "ExampleInputs",
    "ExportError",
    "Exported",
    "LoadedModel",
    "dynamic_shapes",
    "example_inputs",
    "example_record",
    "export",
    "export_with_first",
    "free_axes",
    "input_paths",
    "input_ports",
    "load_model",
    "module_records",
    "observed_context",
    "output_ports",
    "parse_axis",
    "plain_export",
    "set_implementation",
    "unchanged",
]
