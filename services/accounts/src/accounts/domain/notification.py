"""Messages to people: what an alert says, and when a message that did not go out is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

# An alert of yesterday is no news any more.
LIFETIME = timedelta(hours=24)
# Longer than sending one message takes with every timeout used up: nobody else takes it meanwhile.
LEASE = timedelta(minutes=3)
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=5), timedelta(hours=1)
MOST_ATTEMPTS = 25


class Outcome(StrEnum):
    """How a message ended: `unwanted` when the person left or has no verified address any more."""

    SENT = "sent"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNWANTED = "unwanted"


@dataclass(frozen=True, slots=True)
class Alert:
    """What metering says of a crossing."""

    rule_id: UUID
    name: str
    kind: str
    subscription_id: UUID | None
    api_id: UUID | None
    state: str
    threshold: Decimal
    value: Decimal | None
    unit: str
    period: str
    period_start: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is sent, without whom it is for."""

    subject: str
    body: str


_WORDS = {"firing": "Alert", "resolved": "Resolved", "test": "Test of an alert"}
_SENTENCES = {
    "firing": "An alert rule of {organisation} has fired.",
    "resolved": "What an alert rule of {organisation} had fired for is over.",
    "test": "Somebody tests an alert rule of {organisation}. Nothing has happened.",
}


def message_of(alert: Alert, *, organisation: str) -> Message:
    """The message that tells a member of `organisation` of `alert`."""
    subject = f"[{_WORDS[alert.state]}] {alert.name} ({organisation})"
    watched = f"subscription {alert.subscription_id}" if alert.subscription_id else f"API {alert.api_id}"
    lines = [
        _SENTENCES[alert.state].format(organisation=organisation),
        "",
        f"Rule:       {alert.name}",
        f"Watches:    {alert.kind.replace('_', ' ')} of {watched}",
        f"Threshold:  {_amount(alert.threshold, alert.unit)}",
    ]
    if alert.value is not None:
        lines.append(f"Value:      {_amount(alert.value, alert.unit)}")
    lines += [
        f"Period:     the {alert.period} from {_time(alert.period_start)}",
        f"Said at:    {_time(alert.at)}",
        "",
        f"The rule is {alert.rule_id}: GET /v1/alerts/{alert.rule_id} shows it, PATCH silences or changes it.",
        "You are told as a member of this organisation: PUT /v1/notification-preferences ends that.",
    ]
    # A header is one line, whatever a name holds.
    return Message(" ".join(subject.split()), "\n".join(lines) + "\n")


def _amount(value: Decimal, unit: str) -> str:
    shown = f"{value:f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return f"{shown} minor units of {unit}" if unit.isupper() else f"{shown} {unit}"


def _time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def next_attempt(attempts: int, *, jitter: float, now: datetime) -> datetime:
    """When to try again after `attempts` failures: 5 s, 20 s, 80 s … an hour, times 1 to 1.5 by `jitter` in [0, 1)."""
    doublings = 2 * min(attempts - 1, 10)
    wait = min(_FIRST_WAIT * (1 << doublings), _LONGEST_WAIT)
    return now + wait * (1 + jitter / 2)


def gives_up(attempts: int, *, created_at: datetime, now: datetime) -> bool:
    """True for a message that is too old, or was tried often enough."""
    return attempts >= MOST_ATTEMPTS or now >= created_at + LIFETIME
