"""One request at work: what a handler may read, write and tell."""

import secrets
import string
from dataclasses import dataclass, field
from typing import Any

from devstack.stripe.errors import ApiError, resource_missing
from devstack.stripe.forms import Params
from devstack.stripe.store import Json, Store

PLATFORM = ""
PLATFORM_ACCOUNT_ID = "acct_platform"
_ALPHABET = string.ascii_letters + string.digits

_WITHOUT_CREATED = {"line_item", "invoiceitem"}
_WITHOUT_LIVEMODE = {"account", "balance_transaction", "refund", "transfer_reversal"}
_NOUNS = {
    "payment_method": "PaymentMethod",
    "payment_intent": "payment_intent",
    "setup_intent": "setupintent",
    "account": "account",
    "destination": "destination",
}


def new_id(prefix: str) -> str:
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(24))}"


@dataclass(frozen=True, slots=True)
class Config:
    """What the double was started with."""

    base_url: str
    api_version: str
    settlement_seconds: int


@dataclass(slots=True)
class Call:
    """The handler's world. `account` is empty for the platform, else the connected account acted for."""

    store: Store
    config: Config
    now: int
    params: Params = field(default_factory=lambda: Params({}))
    path: tuple[str, ...] = ()
    account: str = PLATFORM
    request_id: str | None = None
    idempotency_key: str | None = None
    api_version: str | None = None

    def get(self, kind: str, object_id: str, *, param: str = "id") -> Json:
        """The object; raises Stripe's resource_missing, which says where the id was named."""
        found = self.store.find(object_id, account=self.account, kind=kind)
        if found is None or found.get("deleted"):
            raise resource_missing(_NOUNS.get(kind, kind), object_id, param)
        return found

    def named(self, kind: str, param: str) -> Json | None:
        """The object that a parameter names, if it is given."""
        object_id = self.params.text(param)
        return self.get(kind, object_id, param=self.params.name(param)) if object_id else None

    def create(self, prefix: str, kind: str, fields: Json, *, parent: str | None = None) -> Json:
        body: Json = {"id": new_id(prefix), "object": kind}
        if kind not in _WITHOUT_CREATED:
            body["created"] = self.now
        if kind not in _WITHOUT_LIVEMODE:
            body["livemode"] = False
        body |= fields
        self.store.insert(body, account=self.account, parent=parent)
        return body

    def save(self, body: Json) -> None:
        self.store.save(body)

    def moved(self, kind: str, body: Json, **references: Any) -> None:
        """Money moved: it is in the journal in the same transaction."""
        self.store.append_journal(
            {
                "kind": kind,
                "id": body["id"],
                "time": self.now,
                "amount": body["amount"],
                "currency": body["currency"],
                **references,
                "metadata": body.get("metadata", {}),
                "idempotency_key": self.idempotency_key,
                "request_id": self.request_id,
            }
        )

    def as_account(self, account: str) -> "Call":
        """The same call, acting for another account."""
        return Call(
            store=self.store,
            config=self.config,
            now=self.now,
            account=account,
            request_id=self.request_id,
            idempotency_key=self.idempotency_key,
            api_version=self.api_version,
        )


def positive_amount(params: Params, key: str = "amount") -> int:
    """A required amount of at least 1 minor unit."""
    amount = params.required_integer(key)
    if amount < 1:
        message = (
            "Invalid positive integer" if amount < 0 else "This value must be greater than or equal to 1."
        )
        raise ApiError(message, code="parameter_invalid_integer", param=params.name(key))
    return amount
