"""An alert: a threshold that a rule watches was crossed, or the crossing is over, or somebody tests the way."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from common.events import Event
from metering.domain.alert import AlertKind, AlertPeriod, AlertRule, AlertState, Crossing

_ID = UUID("01930000-0000-7000-8000-000000000001")


class AlertChanged(Event, topic="metering.alert.v1", type="alert.changed", key="alert_id"):
    """A crossing of an alert rule's threshold, once for its beginning and once for its end, or a test of the rule.

    `unit` is percent, ms, hours, or a currency, whose values are minor units. Nobody wants to be told of a
    silenced one.
    """

    alert_id: UUID
    rule_id: UUID
    organisation_id: UUID
    name: str
    kind: AlertKind
    subscription_id: UUID | None
    api_id: UUID | None
    state: AlertState
    silenced: bool
    threshold: Decimal
    value: Decimal | None
    unit: str
    period: AlertPeriod
    period_start: AwareDatetime
    at: AwareDatetime

    @classmethod
    def of(cls, rule: AlertRule, crossing: Crossing, *, state: AlertState, at: dt.datetime) -> Self:
        """What is said of `crossing`."""
        value = crossing.resolved_value if state is AlertState.RESOLVED else crossing.value
        return cls(
            version=crossing.version, alert_id=crossing.id, rule_id=rule.id, organisation_id=rule.organisation_id,
            name=rule.name, kind=rule.kind, subscription_id=rule.subscription_id, api_id=rule.api_id, state=state,
            silenced=crossing.silenced, threshold=crossing.threshold, value=value, unit=crossing.unit,
            period=rule.period, period_start=crossing.period_start, at=at,
        )  # fmt: skip

    @classmethod
    def example(cls) -> Self:
        """A quota of which more than nine tenths are used."""
        return cls(
            version=1, alert_id=_ID, rule_id=_ID, organisation_id=_ID, name="Most of the quota is used",
            kind=AlertKind.QUOTA_SHARE, subscription_id=_ID, api_id=None, state=AlertState.FIRING, silenced=False,
            threshold=Decimal(90), value=Decimal("92.5"), unit="percent", period=AlertPeriod.MONTH,
            period_start=dt.datetime(2026, 11, 1, tzinfo=dt.UTC), at=dt.datetime(2026, 11, 20, 8, tzinfo=dt.UTC),
        )  # fmt: skip
