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
    assert len(await bootstrap(stage.gateway, document)) == 30
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
