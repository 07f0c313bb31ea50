"""From a plan on sale to a key that can be called with."""

import hashlib

from httpx import AsyncClient

from common.db import Database
from subscriptions.domain.api_key import is_well_formed
from tests.subscriptions.conftest import Caller
from tests.subscriptions.factories import GLOBEX, PLAN_VERSION, some_terms, subscribe
from tests.support.outbox import outbox_events


async def test_subscribing_gives_a_key_once_and_publishes_its_hash(
    client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database
) -> None:
    created = await subscribe(client, globex())
    subscription, key = created["subscription"], created["key"]
    assert (subscription["status"], subscription["gateway"]["state"]) == ("active", "pending")
    assert is_well_formed(key["key"])
    assert key["key"].startswith(key["prefix"])
    assert len(key["prefix"]) == 12

    first, second = await outbox_events(worker_db)
    assert first["topic"] == "subscriptions.subscription.v1"
    assert first["payload"]["organisation_id"] == str(GLOBEX)
    assert first["payload"]["phases"] == [
        {
            "plan_version_id": str(PLAN_VERSION), "from": "2026-11-15T12:00:00Z", "until": None,
            "terms": some_terms(),
        }
    ]  # fmt: skip
    assert second["topic"] == "subscriptions.key.v1"
    assert second["payload"]["sha256"] == hashlib.sha256(key["key"].encode()).hexdigest()
    assert key["key"] not in str(second) + str(first)

    path = f"/v1/subscriptions/{subscription['id']}"
    listed = (await client.get(f"{path}/keys", headers=globex())).json()
    assert [item["prefix"] for item in listed["items"]] == [key["prefix"]]
    assert "key" not in listed["items"][0]
    assert (await client.get(path, headers=globex())).json()["terms"] == some_terms()
