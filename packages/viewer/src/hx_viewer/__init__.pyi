from hx_viewer._column import Column as Column
from hx_viewer._graphs import GraphView as GraphView, NodeView as NodeView, Read as Read, ValueType as ValueType
from hx_viewer._view import View as View
