"""Events: written with the change they tell of, and queued for the webhook in the same transaction."""

import random
import time
from typing import Any

from devstack.stripe.call import PLATFORM, Call
from devstack.stripe.rendering import render
from devstack.stripe.store import Json, Store

_DISORDER = random.Random()


def emit(call: Call, kind: str, body: Json, *, before: Json | None = None) -> None:
    """The event is stored and will be delivered until it is taken."""
    data: Json = {"object": render(call, body)}
    if before is not None:
        data["previous_attributes"] = {
            name: value for name, value in before.items() if name in body and body[name] != value
        }
    event: Json = {
        "api_version": call.api_version or call.config.api_version,
        "data": data,
        "pending_webhooks": 1,
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": kind,
    }
    # An event of a connected account names it, and reaches the platform all the same.
    connected = body["id"] if body["object"] == "account" else call.account
    if connected != PLATFORM:
        event["account"] = connected
    stored = call.as_account(connected).create("evt", "event", event)
    enqueue(call.store, stored["id"])


def enqueue(store: Store, event_id: str) -> None:
    """One delivery, or several at scattered times if the webhook settings ask for repeats and disorder."""
    settings = webhook_settings(store)
    for _ in range(1 + int(settings["duplicates"])):
        now = time.time()
        due = now + _DISORDER.random() * float(settings["scatter_seconds"])
        store.connection.execute(
            "INSERT INTO delivery (event_id, due, created) VALUES (?, ?, ?)", (event_id, due, now)
        )


def webhook_settings(store: Store) -> dict[str, Any]:
    defaults = {"paused": False, "duplicates": 0, "scatter_seconds": 0.0}
    return {**defaults, **store.setting("webhooks", {})}
