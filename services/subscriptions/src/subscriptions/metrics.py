"""Every metric of subscriptions; labels come from small closed sets."""

from prometheus_client import Counter

STARTED = Counter("subscriptions_started_total", "Subscriptions made.", ["status"])
STATUS_CHANGES = Counter(
    "subscriptions_status_changes_total", "Changes of a subscription's status.", ["status"]
)
KEYS_ISSUED = Counter("subscriptions_keys_issued_total", "Keys made.", ["mode"])
KEYS_ENDED = Counter("subscriptions_keys_ended_total", "Keys revoked, rotated away or expired.", ["how"])
