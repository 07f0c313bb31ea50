"""The metrics of the shared mechanism; a service lists its own in its `metrics.py`. Labels come from closed sets."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

HTTP_REQUESTS = Counter(
    "marketplace_http_requests_total", "Requests answered.", ["service", "method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "marketplace_http_request_seconds", "Time to answer a request.", ["service", "method", "route"]
)
OUTBOX_SENT = Counter("marketplace_outbox_sent_total", "Events sent to Kafka.", ["service", "topic"])
OUTBOX_WAITING = Gauge("marketplace_outbox_waiting", "Events not sent yet.", ["service"])
EVENTS_HANDLED = Counter(
    "marketplace_events_handled_total",
    "Events read from Kafka, by what became of them.",
    ["service", "topic", "outcome"],
)
BROKER_REPLACED = Counter(
    "marketplace_broker_replaced_total",
    "Times that the broker turned out to be another cluster.",
    ["service"],
)
UNREAD_LOST = Counter(
    "marketplace_unread_lost_total",
    "Records that a replaced broker held and we had not read.",
    ["service", "topic"],
)
LOOP_FAILURES = Counter(
    "marketplace_loop_failures_total", "Times that a worker loop failed.", ["service", "loop"]
)
