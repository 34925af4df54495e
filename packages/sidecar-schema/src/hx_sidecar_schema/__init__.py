"""The versioned records that pass between hx's packages and into files.

Nothing is imported before it is used: errors and names of modules need no pydantic.
"""

from hx_sidecar_schema._lazy import lazy_package

__getattr__, __dir__, __all__ = lazy_package(__name__, __file__)
