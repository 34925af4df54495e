"""Profiles as CSV."""

import csv
import io

from hx_profiler._records import CallTime, Profile


def to_csv(profile: Profile) -> str:
    """Return a profile as CSV: a line for each call, and one for the unattributed kernels where there are any.

    The columns are the fields of `CallTime` without `parent`. The column `self_us` adds up to `kernels_us`.
    """
    text = io.StringIO()
    fields = [name for name in CallTime.model_fields if name != "parent"]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(call.model_dump(exclude={"parent"}) for call in profile.calls)
    if unattributed := profile.unattributed():
        time, count = profile.unattributed_us, len(unattributed)
        share = time / profile.kernels_us if profile.kernels_us else 0.0
        lost = {"self_us": time, "total_us": time, "share": share, "kernels": count, "own_kernels": count}
        writer.writerow({"tag": "(unattributed)", **lost})
    return text.getvalue()
