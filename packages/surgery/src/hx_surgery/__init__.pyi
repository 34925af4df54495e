from hx_surgery._edited import edited_sidecar as edited_sidecar
