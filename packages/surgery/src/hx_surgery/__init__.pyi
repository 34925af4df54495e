from hx_surgery._edited import edited_sidecar as edited_sidecar
from hx_surgery._tap import Tap as Tap, Tapped as Tapped, tap as tap
