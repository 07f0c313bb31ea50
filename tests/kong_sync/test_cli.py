"""The command line: what it prints and how it exits, as continuous integration would ask it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import yaml

from kong_sync.settings import Settings
from tests.kong_sync.conftest import ROOT
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage


async def run(settings: Settings, *arguments: str, **more: str) -> tuple[int, str]:
    environment = {
        **os.environ,  # noqa: TID251 - a child process
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "DATABASE_WORKER_URL": settings.database_worker_url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "JWKS_URL": settings.jwks_url,
        "TOKEN_ISSUER": settings.token_issuer,
        "KONG_ADMIN_URL": settings.kong_admin_url,
        "KONG_PROXY_URL": settings.kong_proxy_url,
        "KONG_SYNC_NAMESPACE": settings.namespace,
        "KONG_SYNC_INGEST_URL": settings.ingest_url,
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kong_sync.cli", *arguments, env=environment, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_plan_says_2_until_apply_made_it_equal(stage: Stage, settings: Settings) -> None:
    await tell(stage.db, stage.tables)
    status, output = await run(settings, "plan")
    assert status == 2
    assert f"+ key-auths {stage.credential.id}" in output
    assert stage.credential.sha256 not in output
    status, output = await run(settings, "apply")
    assert (status, output.splitlines()[-1]) == (0, "applied")
    assert (await stage.call()).status_code == 200
    assert await run(settings, "plan") == (0, "Equal.\n")


async def test_drift_says_2_until_a_pass_mended_it(stage: Stage, settings: Settings) -> None:
    await stage.set_up()
    assert await run(settings, "drift") == (0, "No drift.\n")
    service = next(e for e in await stage.desired() if e.kind == "services" and e.owner.concern == "api")
    await stage.gateway.admin.put(replace(service, fields={**service.fields, "read_timeout": 1}))
    status, output = await run(settings, "drift")
    assert status == 2
    assert output.splitlines() == [
        f"api {stage.api.id} ({service.label})",
        f"  ~ services {service.label} {service.id}  edited",
        "      read_timeout: 1 -> 60000",
        "1 differ from what was written, 0 are not ours.",
    ]
    status, output = await run(settings, "drift", "--json")
    assert (status, json.loads(output)["by_kind"]) == (2, {"edited": 1})
    status, output = await run(settings, "plan", "--json")
    (change,) = json.loads(output)["changes"]
    assert (status, change["fields"]) == (2, ["read_timeout"])
    assert (await run(settings, "apply"))[0] == 0
    assert (await run(settings, "drift"))[0] == 0


async def test_adopt_shows_what_is_in_the_way_and_takes_over_what_was_shown(
    stage: Stage, settings: Settings, tmp_path: Path
) -> None:
    await tell(stage.db, stage.tables)
    body = {"username": f"sub_{stage.subscription.id}", "tags": ["hand"]}
    async with httpx.AsyncClient(base_url=settings.kong_admin_url, verify=False) as admin:
        made = (await admin.post("/consumers", json=body)).json()
        await admin.post(f"/consumers/{made['id']}/key-auth", json={"key": f"secret of {stage.slug}"})
    status, output = await run(settings, "adopt", "--output", str(tmp_path / "theirs.json"))
    assert status == 2
    assert f"  ~ consumers sub_{stage.subscription.id} {made['id']}  is replaced, in the way of " in output
    assert "goes with it" in output
    assert "secret of" not in output
    kept = json.loads((tmp_path / "theirs.json").read_text())
    assert (kept["consumers"], kept["key-auths"][0]["key"]) == ([made], f"secret of {stage.slug}")
    assert (tmp_path / "theirs.json").stat().st_mode & 0o777 == 0o600
    status, output = await run(settings, "adopt", "--confirm", "0" * 16)
    assert (status, "Something else is in the way" in output) == (1, True)
    mark = re.findall(r"--confirm (\w+)", (await run(settings, "adopt"))[1])[0]
    status, output = await run(settings, "adopt", "--confirm", mark)
    assert (status, output.splitlines()[-1]) == (0, "applied")
    assert (await stage.call()).status_code == 200
    assert await run(settings, "adopt") == (0, "Nothing is in the way.\n")


async def test_export_writes_a_deck_file(stage: Stage, settings: Settings, tmp_path: Path) -> None:
    await stage.set_up()
    status, output = await run(settings, "export")
    assert (status, yaml.safe_load(output)["_format_version"]) == (0, "3.0")
    assert await run(settings, "export", "--output", str(tmp_path / "kong.yaml")) == (0, "")
    assert (tmp_path / "kong.yaml").read_text(encoding="utf-8") == output


async def test_rebuild_asks_each_owner_and_names_the_one_that_fails(settings: Settings) -> None:
    asked: list[str] = []

    async def owner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 12\r\n\r\n{"events":3}')
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(owner, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        urls = {"DECK_CATALOG_URL": url, "DECK_SUBSCRIPTIONS_URL": url}
        away = ("--metering-url", "http://127.0.0.1:1")
        status, output = await run(settings, "rebuild", *away, MARKETPLACE_TOKEN="a.b.c", **urls)
        assert status == 1
        assert "catalog: publishes 3 events again" in output
        assert "subscriptions: publishes 3 events again" in output
        assert "metering: http://127.0.0.1:1/v1/admin/republish does not answer (ConnectError)" in output
        assert "a.b.c" not in output
        status, output = await run(
            settings, "rebuild", "--metering-url", url, MARKETPLACE_TOKEN="a.b.c", **urls
        )
        assert (status, len(output.splitlines())) == (0, 3)
    assert len(asked) == 5
    assert all(head.startswith("POST /v1/admin/republish ") and "Bearer a.b.c" in head for head in asked)


async def test_rebuild_wants_a_token(settings: Settings) -> None:
    status, output = await run(settings, "rebuild", MARKETPLACE_TOKEN="")
    assert status == 2
    assert "--token" in output


async def test_a_gateway_that_does_not_answer_is_1(settings: Settings) -> None:
    away = settings.model_copy(update={"kong_admin_url": "http://127.0.0.1:1"})
    status, output = await run(away, "plan")
    assert status == 1
    assert "does not answer" in output
