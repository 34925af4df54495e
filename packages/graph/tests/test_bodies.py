"""Copies of bodies."""

import onnx_ir as ir

from hx_graph import copied_attribute, nodes_in

TEXT = """
<ir_version: 10, opset_import: ["" : 18]>
agraph (float[2] x, bool c) => (float[2] y) {
    z = Neg (x)
    y = If (c) <
        then_branch = t () => (float[2] r) { r = Add (z, x) },
        else_branch = e () => (float[2] inner) {
            w = Abs (z)
            inner = If (c) <
                then_branch = u () => (float[2] s) { s = Neg (w) },
                else_branch = v () => (float[2] s) { s = Neg (x) }
            >
        }
    >
}
"""


def test_a_copy_of_a_body_reads_other_values() -> None:
    model = ir.from_onnx_text(TEXT)
    before = ir.to_proto(model)
    others = {value: ir.Value(name=f"other_{value.name}") for value in (*model.graph.inputs, model.graph[0].outputs[0])}
    told: list[tuple[str | None, str | None]] = []
    then, otherwise = (
        copied_attribute(one, others.__getitem__, lambda *pair: told.append((pair[0].name, pair[1].name))).as_graph()
        for one in model.graph[1].attributes.values()
    )
    read = [
        [value.name for value in node.inputs if value] for graph in (then, otherwise) for _, node in nodes_in(graph)
    ]
    assert told == [("t", "t"), ("e", "e")]
    assert read == [["other_z", "other_x"], ["other_z"], ["other_c"], ["w"], ["other_x"]]
    assert ir.to_proto(model) == before
