"""The front door stands in the gateway, however often it is put there, and touches nothing else."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from kong_sync.clients.front_door_file import read_front_door
from kong_sync.domain.errors import FrontDoorInvalid
from kong_sync.settings import Settings
from kong_sync.usecases.bootstrap import bootstrap
from tests.kong_sync.conftest import ROOT
from tests.kong_sync.stage import Stage

FILE = ROOT / "gateway" / "kong.yml"


async def test_the_front_door_leads_to_the_services_and_a_repeat_changes_nothing(
    stage: Stage, settings: Settings
) -> None:
    await stage.set_up()
    values = settings.front_door_values | {"DECK_CATALOG_URL": stage.upstream.url.removesuffix("/base")}
    document = read_front_door(FILE, values)
    assert len(await bootstrap(stage.gateway, document)) == 33
    assert await bootstrap(stage.gateway, document) == []
    async with httpx.AsyncClient(base_url=stage.double.proxy_url) as client:
        answer = await client.get("/platform/catalog/v1/apis?limit=1")
    assert answer.status_code == 200
    assert stage.upstream.heads[-1].startswith("GET /v1/apis?limit=1 ")
    assert await stage.plan() == []  # neither sees what the other made

    without_catalog = document | {"services": document["services"][2:]}
    changes = [str(change) for change in await bootstrap(stage.gateway, without_catalog)]
    assert len(changes) == 10
    assert all(change.startswith("-") for change in changes)
    assert (await stage.call()).status_code == 200


async def test_what_is_for_neighbours_only_is_not_behind_the_front_door(
    stage: Stage, settings: Settings
) -> None:
    values = dict.fromkeys(settings.front_door_values, stage.upstream.url.removesuffix("/base"))
    await bootstrap(stage.gateway, read_front_door(FILE, values))
    services = ("accounts", "catalog", "subscriptions", "billing", "metering", "kong-sync")
    closed = [f"/{name}/metrics{rest}" for name in services for rest in ("", "/", "?x=/v1/apis")]
    closed += ["/metering/v1/ingest/kong", "/metering/v1/ingest", "//metering//v1//ingest/kong"]
    closed += ["/metering/v1/%69ngest/kong", "/metering/v1/x/../ingest/kong", "/billing/./%6Detrics"]
    closed += ["/metering/v1%2Fingest%2Fkong", "/metering/v1%2fingest/kong", "/billing/metrics%2f"]
    closed += ["/catalog/../metering/v1/ingest/kong", "/billing/v1/../metrics"]
    open_ = ["/billing/v1/webhooks/stripe", "/metering/v1/usage", "/catalog/livez", "/accounts/docs"]
    open_ += ["/accounts/.well-known/jwks.json", "/catalog/openapi.json", "/catalog/v1/metrics"]
    async with httpx.AsyncClient() as client:

        async def status(path: str) -> int:
            # As a URL's raw path: httpx would resolve the dots itself.
            url = httpx.URL(stage.double.proxy_url).copy_with(raw_path=f"/platform{path}".encode())
            return (await client.post(url)).status_code

        assert {path: await status(path) for path in closed} == dict.fromkeys(closed, 404)
        assert stage.upstream.heads == []
        assert {path: await status(path) for path in open_} == dict.fromkeys(open_, 200)
    asked = [head.split()[1] for head in stage.upstream.heads]
    assert asked == [path[path.index("/", 1) :] for path in open_]


def test_a_variable_without_a_value_is_named(tmp_path: Path) -> None:
    file = tmp_path / "kong.yml"
    file.write_text(
        '# ${{ env "DECK_COMMENT" }}\nservices: ["${{ env "DECK_UNKNOWN" }}"]\n', encoding="utf-8"
    )
    with pytest.raises(FrontDoorInvalid, match="DECK_UNKNOWN"):
        read_front_door(file, {"DECK_CATALOG_URL": "http://x"})


def test_the_settings_have_a_value_for_every_variable(settings: Settings) -> None:
    document = read_front_door(FILE, settings.front_door_values)
    assert [s["url"] for s in document["services"]][:2] == ["http://127.0.0.1:8106", "http://127.0.0.1:8101"]
