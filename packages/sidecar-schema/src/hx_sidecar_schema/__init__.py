from hx_sidecar_schema._errors import HxError

__all__ = ["HxError"]
