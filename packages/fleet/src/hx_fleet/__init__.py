"""Many models through the steps of hx: isolated processes, a run that resumes where it was, one data set.

`hx.fleet` is the door; a function that is a step of its own is given a `Task`.
"""

from hx_sidecar_schema import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
