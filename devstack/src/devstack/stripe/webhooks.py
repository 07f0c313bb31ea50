"""Delivery of events: signed, repeated with growing pauses until taken, never lost over a crash of either side."""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Sequence

import httpx

from devstack.stripe.events import webhook_settings
from devstack.stripe.store import Json, Store

log = logging.getLogger("stripe")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_GIVE_UP_SECONDS = 3 * 86_400
_TIMEOUT_SECONDS = 10.0
_AT_ONCE = 4
_POLL_SECONDS = 0.1


def signature(payload: bytes, secrets: Sequence[str], timestamp: int) -> str:
    """The Stripe-Signature header: one v1 for each secret, so that a secret can be rolled."""
    signed = f"{timestamp}.".encode() + payload
    digests = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={digest}" for digest in digests)])


class Deliveries:
    """The queue in the store, and the loop that works it off."""

    def __init__(self, store: Store, *, url: str | None, secrets: Sequence[str]) -> None:
        self._store = store
        self._url = url
        self._secrets = secrets

    async def run(self) -> None:
        """Delivers what is due, for ever; cancelled at the end."""
        if self._url is None:
            return
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
            while True:
                due = [] if webhook_settings(self._store)["paused"] else self._due()
                sent = await asyncio.gather(
                    *(self._deliver(client, delivery) for delivery in due), return_exceptions=True
                )
                for problem in filter(None, sent):
                    log.error("webhook.failed", exc_info=problem)
                await asyncio.sleep(0 if due and not any(sent) else _POLL_SECONDS)

    async def release(self, *, backwards: bool) -> Json:
        """Everything that waits has been sent once, one by one, in order or backwards; the pause is over."""
        waiting = self.list_all(state="pending")
        if backwards:
            waiting.reverse()
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
            for delivery in waiting:
                await self._deliver(client, delivery)
        with self._store.transaction():
            self._store.set_setting("webhooks", {**webhook_settings(self._store), "paused": False})
        return {"released": [delivery["type"] for delivery in waiting]}

    def list_all(self, *, state: str | None = None, limit: int = 1000) -> list[Json]:
        """Deliveries, oldest first."""
        rows = self._store.connection.execute(
            """SELECT delivery.*, json_extract(object.body, '$.type') AS type FROM delivery
               JOIN object ON object.id = delivery.event_id
               WHERE ? IS NULL OR state = ? ORDER BY delivery.id LIMIT ?""",
            (state, state, limit),
        )
        return [dict(row) for row in rows]

    def _due(self) -> list[Json]:
        rows = self._store.connection.execute(
            "SELECT * FROM delivery WHERE state = 'pending' AND due <= ? ORDER BY due, id LIMIT ?",
            (time.time(), _AT_ONCE),
        )
        return [dict(row) for row in rows]

    async def _deliver(self, client: httpx.AsyncClient, delivery: Json) -> None:
        row = self._store.connection.execute(
            "SELECT body FROM object WHERE id = ?", (delivery["event_id"],)
        ).fetchone()
        if row is None:  # forgotten by a reset while it waited its turn
            return
        event = json.loads(row["body"])
        payload = json.dumps(event, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(payload, self._secrets, int(time.time())),
        }
        try:
            answer = await client.post(str(self._url), content=payload, headers=headers)
            outcome, taken = str(answer.status_code), answer.is_success
        except httpx.HTTPError as error:
            outcome, taken = type(error).__name__, False
        self._settle(delivery, event, outcome=outcome, taken=taken)
        log.info("webhook.sent %s %s %s", event["type"], event["id"], outcome)

    def _settle(self, delivery: Json, event: Json, *, outcome: str, taken: bool) -> None:
        attempts = delivery["attempts"] + 1
        now = time.time()
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 10), _LONGEST_PAUSE_SECONDS)
        state = "pending"
        if taken:
            state = "delivered"
        elif now - delivery["created"] > _GIVE_UP_SECONDS:
            state = "abandoned"
        with self._store.transaction():
            self._store.connection.execute(
                "UPDATE delivery SET attempts = ?, due = ?, state = ?, outcome = ? WHERE id = ? AND event_id = ?",
                (attempts, now + pause, state, outcome, delivery["id"], event["id"]),
            )
            if taken:
                self._store.save({**event, "pending_webhooks": 0})
