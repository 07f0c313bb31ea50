"""The exported file holds all that stands in Kong, and no secret; decK itself takes it and finds nothing to change."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.domain.entities import Kind
from kong_sync.usecases.export_state import export_state
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage

DECK = shutil.which("deck")


async def export(stage: Stage) -> str:
    return await export_state(stage.db, stage.gateway, now=stage.clock.now())


async def deck(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        DECK or "deck", *arguments, "--analytics=false", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},  # noqa: TID251
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_it_is_what_stands_in_kong(stage: Stage) -> None:
    await stage.set_up()
    text = await export(stage)
    document = yaml.safe_load(text)
    stands = await stage.gateway.admin.dump(stage.gateway.edge.selector)
    listed: dict[str, Any] = {e["id"]: e for root in ("services", "consumers") for e in document[root]}
    nested = [v for e in listed.values() for name, v in e.items() if isinstance(v, list) and name != "tags"]
    listed |= {child["id"]: child for children in nested for child in children}
    assert set(listed) == {entity["id"] for entities in stands.values() for entity in entities}
    (route,) = (r for r in stands[Kind.ROUTE] if r["id"] == stage.gateway.edge.id_of("route.probe"))
    assert listed[route["id"]]["paths"] == route["paths"]


async def test_it_is_the_same_every_time_and_holds_no_secret(stage: Stage) -> None:
    await stage.set_up()
    text = await export(stage)
    assert text == await export(stage)
    assert stage.key not in text
    assert "X-Ingest-Token: '{vault://env/ingest-token}'" in text
    assert "&id0" not in text
    assert "${{" not in text  # decK would read it as one of its variables


async def test_it_can_be_had_before_anything_was_written_and_without_kong(stage: Stage) -> None:
    await tell(stage.db, stage.tables)
    before = yaml.safe_load(await export(stage))
    away = replace(stage.gateway, admin=KongAdmin("http://127.0.0.1:1", attempts=1))
    assert yaml.safe_load(await export_state(stage.db, away, now=stage.clock.now())) == before
    await away.admin.close()
    assert stage.gateway.edge.id_of("route.probe") not in str(before)
    assert stage.credential.id in str(before)


@pytest.mark.skipif(DECK is None, reason="deck is not on PATH")
async def test_deck_takes_the_file_and_finds_nothing_to_change(stage: Stage, tmp_path: Path) -> None:
    await stage.set_up()
    path = tmp_path / "kong.yaml"
    path.write_text(await export(stage), encoding="utf-8")
    assert await deck("file", "validate", str(path)) == (0, "")
    found = await deck(
        "gateway", "diff", str(path), "--kong-addr", stage.double.admin_url, "--non-zero-exit-code"
    )
    assert found[0] == 0, found[1]
    service = next(e for e in await stage.desired() if e.kind == "services" and e.owner.concern == "api")
    await stage.gateway.admin.put(replace(service, fields={**service.fields, "read_timeout": 1}))
    found = await deck(
        "gateway", "diff", str(path), "--kong-addr", stage.double.admin_url, "--non-zero-exit-code"
    )
    assert found[0] == 2, found[1]
