"""What is observed while a model runs in PyTorch, or is traced.

Read `calls` first: the one watcher of module calls, for one thread (`patches`), and a watched run in PyTorch. `ports` names
the tensors of a call. On such a run `operations` and `symbolic` observe what was computed, `call_values` keeps what calls
take and return, and `preserve` restores the model. On a trace `recorder` marks FX nodes (`fx_metadata`), with
`dynamo_frames` for what Dynamo traces, `deferred_views` for tensors that were changed in place, and `body_values` for
bodies of control flow.
"""
