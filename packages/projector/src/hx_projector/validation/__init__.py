"""Whether a model and its sidecar agree, and what can be put right.

* `run`: the entry, `validate`; the table of checks, each with the checks that must have found nothing before it.
* `checks`: the checks, one file a part of the sidecar. Each yields findings; the codes are in its docstring.
* `codes`, `findings`: what the codes mean, and the records of what is found and rewritten.
* `pair`: the model and its sidecar with the look-ups that checks share.
* `repair`: rewrites what the model and the sound rows imply.
"""
