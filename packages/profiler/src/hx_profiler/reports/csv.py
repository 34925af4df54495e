"""Profiles as CSV."""

from __future__ import annotations

import csv
import io

from hx_profiler._records import CallTime, Profile


def to_csv(profile: Profile) -> str:
    """Return a profile as CSV: a line for each call, and one for the unattributed kernels where there are any.

    The columns are the fields of `CallTime` without `parent`. The column `self_us` adds up to `kernels_us`.
    """
    text = io.StringIO()
    fields = [name for name in CallTime.model_fields if name not in ("parent",)]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for call in profile.calls:
        writer.writerow(call.model_dump(include=set(fields)))
    unattributed = profile.unattributed()
    if unattributed:
        writer.writerow(
            {
                "tag": "(unattributed)",
                "self_us": profile.unattributed_us,
                "total_us": profile.unattributed_us,
                "share": profile.unattributed_us / profile.kernels_us if profile.kernels_us else 0.0,
                "kernels": len(unattributed),
                "own_kernels": len(unattributed),
            }
        )
    return text.getvalue()
