"""Every metric of kong-sync."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)

_QUICK = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)

PASSES = Counter("kong_sync_passes_total", "Passes of the reconciler, by how they ended.", ["outcome"])
PLAN_CHANGES = Gauge("kong_sync_plan_changes", "Changes in the last plan.", ["action"])
WITHHELD = Gauge("kong_sync_withheld_deletes", "Removals that wait for an operator's word.")
PASS_SECONDS = Histogram("kong_sync_pass_seconds", "From the start of a pass to its end.", buckets=_SECONDS)
LIVE_SECONDS = Histogram(
    "kong_sync_wish_to_live_seconds", "From the note of a wish to live.", ["concern"], buckets=_SECONDS
)  # fmt: skip
REFUSALS = Counter("kong_sync_refusals_total", "Writes that Kong refused.", ["kind"])
ADMIN_CALLS = Counter("kong_sync_admin_calls_total", "Calls to the Admin API.", ["method", "outcome"])
STOP_SECONDS = Histogram(
    "kong_sync_stop_seconds", "From the note of an event to the end of access in Kong.", buckets=_QUICK
)  # fmt: skip
DRIFT = Counter("kong_sync_drift_total", "Entities found otherwise than we had written them.", ["kind"])
