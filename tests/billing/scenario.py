"""Billing at work on a real database: sales and totals come in as events, the worker's steps run by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import text

from billing.consumers.period import PeriodEvent, on_period
from billing.consumers.subscription import SubscriptionEvent, on_subscription
from billing.db import invoices, ledger, runs
from billing.db.runs import InvoiceRun
from billing.domain.invoice import Invoice
from billing.usecases.attach_payment_method import attach_payment_method
from billing.usecases.draft_invoice import draft_invoice
from billing.usecases.finish_invoice_runs import finish_invoice_runs
from billing.usecases.issue_invoice import issue_invoice
from billing.usecases.open_invoice_run import open_invoice_run
from billing.usecases.pay_invoice import pay_invoice
from billing.usecases.request_invoice_run import request_invoice_run
from common.db import Database
from tests.billing.factories import API, CONSUMER, PLAN, PROVIDER, SUBSCRIPTION, terms_json
from tests.support.clock import FixedClock
from tests.support.fake_stripe import FakeStripe

GRACE = timedelta(days=7)


@dataclass
class Scenario:
    db: Database  # the worker's role
    clock: FixedClock
    stripe: FakeStripe = field(default_factory=FakeStripe)
    _versions: dict[UUID, int] = field(default_factory=dict)

    async def sell(
        self, start: str = "2026-11-01", *, subscription: UUID = SUBSCRIPTION, organisation: UUID = CONSUMER,
        provider: UUID = PROVIDER, plan: UUID = PLAN, api: UUID = API, canceled: str | None = None,
        phases: list[dict[str, Any]] | None = None, version: int | None = None, **terms: Any,
    ) -> None:  # fmt: skip
        """A subscription event arrives; each one with a higher version unless told."""
        self._versions[subscription] = version or self._versions.get(subscription, 0) + 1
        default = {
            "plan_version_id": str(plan),
            "from": _z(start),
            "until": None,
            "terms": terms_json(**terms),
        }
        event = SubscriptionEvent.model_validate(
            {
                "subscription_id": subscription, "version": self._versions[subscription],
                "organisation_id": organisation, "provider_organisation_id": provider, "provider_slug": "acme",
                "api_id": api, "api_slug": "weather", "status": "active", "started_at": _z(start),
                "canceled_at": _z(canceled) if canceled else None, "phases": phases or [default],
            }
        )  # fmt: skip
        async with self.db.begin() as session:
            await on_subscription(session, event, now=self.clock.now())

    async def request(self, until: str, organisation: UUID | None = None) -> InvoiceRun:
        moment = datetime.fromisoformat(_z(until))
        async with self.db.begin() as session:
            return await request_invoice_run(
                session, organisation_id=organisation, until=moment, enabled=True,
                now=max(self.clock.now(), moment),
            )  # fmt: skip

    async def meter(
        self, run: InvoiceRun, *calls: int, subscription: UUID = SUBSCRIPTION, organisation: UUID = CONSUMER,
        plan: UUID = PLAN, part: int = 1, parts: int = 1,
    ) -> None:  # fmt: skip
        """Metering's answer arrives; without `calls` it names no subscription."""
        total = {
            "subscription_id": subscription, "plan_version_id": plan, "organisation_id": organisation, "api_id": API,
            "month": "2026-11-01",
        }  # fmt: skip
        event = PeriodEvent.model_validate(
            {
                "cutoff_id": run.id, "version": 1, "part": part, "parts": parts, "until": run.until,
                "totals": [total | {"calls": n, "billable_calls": n, "units": n} for n in calls],
            }
        )  # fmt: skip
        async with self.db.begin() as session:
            await on_period(session, event, now=self.clock.now())

    async def cut_off(self, until: str, *calls: int, **where: Any) -> InvoiceRun:
        """The whole way from the request to issued invoices."""
        run = await self.request(until)
        await self.meter(run, *calls, **where)
        await self.work()
        return await self.run(run)

    async def open_runs(self) -> None:
        more = True
        while more:
            async with self.db.begin() as session:
                more = await open_invoice_run(session, now=self.clock.now())

    async def draft(self, *, minimum: int = 1) -> None:
        more = True
        while more:
            async with self.db.begin() as session:
                more = await draft_invoice(
                    session, fee_percent=Decimal(3), minimum=minimum, now=self.clock.now()
                )

    async def issue(self) -> None:
        more = True
        while more:
            async with self.db.begin() as session:
                more = await issue_invoice(session, seller="MP", now=self.clock.now())

    async def finish(self) -> None:
        async with self.db.begin() as session:
            await finish_invoice_runs(session, now=self.clock.now())

    async def work(self, *, minimum: int = 1) -> None:
        await self.open_runs()
        await self.draft(minimum=minimum)
        await self.issue()
        await self.finish()

    async def pay(self, invoice: Invoice) -> Invoice:
        return await pay_invoice(self.db, self.stripe, self.clock, invoice.id, grace=GRACE)

    async def attach_card(self, organisation: UUID = CONSUMER, method: str = "pm_card_visa") -> None:
        await attach_payment_method(self.db, self.stripe, self.clock, organisation, payment_method_id=method)

    async def run(self, run: InvoiceRun) -> InvoiceRun:
        async with self.db.begin() as session:
            return await runs.get(session, run.id)

    async def invoices(self, organisation: UUID = CONSUMER) -> list[Invoice]:
        """Issued invoices, the oldest first."""
        async with self.db.begin() as session:
            found = await invoices.list_of(session, organisation, after=None, limit=100)
        return found[::-1]

    async def trial(self) -> dict[str, int]:
        async with self.db.begin() as session:
            return {row.account: row.balance for row in await ledger.trial_balance(session) if row.balance}

    async def count(self, table: str) -> int:
        async with self.db.begin() as session:
            return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def amounts(invoice: Invoice) -> list[tuple[str, int, int]]:
    """Kind, quantity and amount of each line."""
    return [(str(line.draft.kind), line.draft.quantity, line.draft.amount) for line in invoice.lines]


def _z(text_: str) -> str:
    full = text_ if text_.count("-") == 2 else f"2026-{text_}"
    return f"{full.replace(' ', 'T')}{'' if ' ' in full else 'T00:00:00'}+00:00"
