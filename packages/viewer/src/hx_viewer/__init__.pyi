from hx_viewer._column import Column as Column
from hx_viewer._graphs import GraphView as GraphView, NodeView as NodeView, Read as Read, ValueType as ValueType
from hx_viewer._view import View as View
from hx_viewer.model_explorer.files import (
    MODEL_EXPLORER_NAMES as MODEL_EXPLORER_NAMES,
    is_model_explorer_file as is_model_explorer_file,
    model_explorer_files as model_explorer_files,
)
from hx_viewer.model_explorer.start import (
    check_model_explorer as check_model_explorer,
    start_model_explorer as start_model_explorer,
)
from hx_viewer.page.page import PAGE_NODES as PAGE_NODES, html_page as html_page
