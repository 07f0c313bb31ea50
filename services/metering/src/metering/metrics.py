"""Every metric of metering. Labels come from small closed sets, never an id."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

INGESTED = Counter(
    "metering_entries_ingested_total", "Log entries taken in, by what became of them.", ["source", "outcome"]
)
INGEST_REFUSED = Counter("metering_ingest_refused_total", "POSTs answered 503: Kong sends them again.")
CALLS = Counter("metering_calls_total", "Calls read from Kafka: recorded, or already there.", ["outcome"])
CALLS_READ = Counter(
    "metering_calls_read_total", "Calls read from Kafka, by the compiled reader or by Python.", ["reader"]
)
QUARANTINED = Counter(
    "metering_quarantined_total", "Calls outside the window of time in which they count.", ["reason"]
)
POISONED = Counter("metering_poisoned_total", "Records or entries in Kafka that cannot be read.")
BATCH_CALLS = Histogram(
    "metering_batch_calls", "Calls in one transaction.", buckets=(1, 10, 100, 500, 2_000, 10_000, 40_000)
)
BATCH_SECONDS = Histogram("metering_batch_seconds", "Time of one transaction.")
FOLDED = Counter("metering_deltas_folded_total", "What batches wrote down, added to the rollups.")
LAG_RECORDS = Gauge("metering_lag_records", "High watermark less stored offset, over all partitions.")
WATERMARK_AGE_SECONDS = Gauge(
    "metering_watermark_age_seconds", "How long ago the slowest partition was known to be read to its end."
)
HALTED = Gauge(
    "metering_halted", "1 while the log under our offsets is not the one we read: an operator has to look."
)
FENCED = Counter("metering_fenced_total", "Batches refused because somebody else had moved the offsets.")
CUTOFFS_ANSWERED = Counter("metering_cutoffs_answered_total", "Cut-offs answered with exact totals.")
CUTOFFS_UNJUDGED = Counter(
    "metering_cutoffs_unjudged_total",
    "Cut-offs answered although it was not known whether everything was there, by what was not known.",
    ["unknown"],
)
for _unknown in ("completeness", "file_log"):  # there from the first moment: Prometheus sees them rise
    CUTOFFS_UNJUDGED.labels(_unknown)
CUTOFFS_HELD = Gauge(
    "metering_cutoffs_held", "Cut-offs held, as the settings say, until it is known how complete they are."
)
LATE_MONTHS = Counter("metering_late_months_total", "Subscriptions' closed months that a late call changed.")
QUOTA_CHANGES = Counter("metering_quota_changes_total", "Quota states announced.", ["state"])
QUOTA_OVERSHOOT = Counter(
    "metering_quota_overshoot_units_total", "Units counted above a quota: the gateway let them through."
)
FILE_LOG_BYTES = Counter(
    "metering_file_log_bytes_total", "Bytes of the gateway's log file that were taken in."
)
RECONCILIATION_DIFFERENCES = Gauge(
    "metering_reconciliation_differences",
    "Stored rows that the last night found not to be what raw rows add up to.",
)
RECONCILED_AT_SECONDS = Gauge(
    "metering_reconciled_at_seconds", "When the last night's reconciliation ended, as Unix time."
)
ALERTS = Counter("metering_alerts_total", "Alerts announced, by what they say.", ["kind", "state"])
COMPLETENESS_PERCENT = Gauge(
    "metering_completeness_percent",
    "Of what the gateway counted in the span judged last, how much is metered.",
)
COMPLETENESS_COUNTED = Counter(
    "metering_completeness_counted_total", "Calls that the gateway counted in spans that were judged."
)
COMPLETENESS_MISSING = Counter(
    "metering_completeness_missing_total",
    "Calls that the gateway counted and that were not metered when they should be.",
)
GATEWAY_READINGS = Counter(
    "metering_gateway_readings_total", "Readings of the gateway's counters.", ["outcome"]
)
GATEWAY_GAPS = Counter(
    "metering_gateway_gaps_total", "Times of which it is unknown what the gateway counted: a node began anew."
)
