"""billing.invoice.v1"""

from __future__ import annotations

from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from billing.domain.invoice import Invoice
from common.events import Event


class InvoiceChanged(Event, topic="billing.invoice.v1", type="invoice.changed", key="invoice_id"):
    """An issued invoice as it now stands; amounts in minor units."""

    invoice_id: UUID
    organisation_id: UUID
    number: str
    currency: str
    status: str
    total: int
    amount_due: int
    until: AwareDatetime
    issued_at: AwareDatetime
    paid_at: AwareDatetime | None

    @classmethod
    def of(cls, invoice: Invoice) -> Self:
        """The event for an issued invoice."""
        names = ("organisation_id", "version", "number", "currency", "total", "amount_due", "until")
        values = {name: getattr(invoice, name) for name in (*names, "issued_at", "paid_at")}
        return cls.model_validate(values | {"invoice_id": invoice.id, "status": str(invoice.status)})

    @classmethod
    def example(cls) -> Self:
        """A valid event."""
        return cls.model_validate(
            {
                "invoice_id": "0193a000-0000-7000-8000-000000000002",
                "version": 3,
                "organisation_id": "0193a000-0000-7000-8000-0000000000c0",
                "number": "MP-000001",
                "currency": "EUR",
                "status": "paid",
                "total": 2025,
                "amount_due": 0,
                "until": "2026-12-01T00:00:00Z",
                "issued_at": "2026-12-01T02:00:03Z",
                "paid_at": "2026-12-01T09:30:00Z",
            }
        )
