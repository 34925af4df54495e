"""What is observed while a model runs in PyTorch, or is traced.

Read `calls` first: the one watcher of module calls, for one thread (`patches`), and a watched run in PyTorch. `ports` names
the tensors of a call, `recursion` makes room on Python's stack. `uncompiled` is how a model runs at all: without
`torch.compile`, and without a look at weights that are not to be read (`unread`, `file_weights`).

On a run `operations` and `symbolic` observe what was computed, `call_values` keeps what calls take and return, also in
`double_precision`, and `preserve` restores the model. On a trace `recorder` marks FX nodes (`fx_metadata`), with
`dynamo_frames` for what Dynamo traces, `deferred_views` for tensors that were changed in place, `decisions` for Python
values made of tensors, and `body_values` for bodies of control flow.
"""
