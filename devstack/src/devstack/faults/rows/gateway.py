"""Rows 18 and 20: around the gateway. kong-sync dies between two of its calls, Redis dies under the callers'."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections import Counter
from typing import Any

import httpx

from devstack.embedded import ports, redis
from devstack.faults.lab import migrated_template
from devstack.faults.run import Kill, Run
from devstack.faults.traffic import INGEST_TOKEN, NAMESPACE

_CALLS = 240
_AT_ONCE = 8
_KEY = "a-key-of-the-faults"


async def _double(run: Run) -> tuple[str, str]:
    """The gateway double runs; the URLs of its Admin API and its proxy."""
    folder = run.folder("kong")
    admin, proxy = ports.free_port(), ports.free_port()
    command = [sys.executable, "-m", "devstack.kong", "--state", str(folder)]
    command += ["--admin-port", str(admin), "--proxy-port", str(proxy)]
    run.spawn(
        "kong", command, INGEST_TOKEN=INGEST_TOKEN, UPSTREAM_MASTER=secrets.token_hex(32),
        KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES="resty.sha256,resty.string,resty.openssl.hmac",
    )  # fmt: skip
    await run.listening(admin, proxy)
    return f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{proxy}"


async def kill_redis(run: Run) -> None:
    """Redis dies and is emptied under the calls: each is answered by the upstream all the same, and metered once."""
    admin, proxy = await _double(run)
    redis_port, upstream_port = ports.free_port(), ports.free_port()
    data = run.folder("redis")
    server = run.spawn("redis", redis.command(redis_port, data))
    run.spawn(
        "upstream",
        [sys.executable, "-m", "devstack.upstream", "--port", str(upstream_port), "--state", str(run.folder("up"))],
    )  # fmt: skip
    await run.start("ingest")
    await run.start("consumer")
    await run.listening(redis_port, upstream_port)
    async with httpx.AsyncClient(timeout=20) as http:
        await _configure(run, http, admin, upstream_port, redis_port)
        journal: dict[str, int] = {}
        calling = asyncio.create_task(_call(http, proxy, journal))

        async def half_way() -> bool:
            return len(journal) >= _CALLS // 3

        await run.until(half_way, "a third of the calls to be answered", every=0.005)
        open_calls = _AT_ONCE if not calling.done() else 0
        server.kill()
        await asyncio.to_thread(server.wait)
        if open_calls:
            run.kills.append(
                Kill("redis", "at random", open_calls, "calls open through the gateway", run.elapsed())
            )
        await asyncio.sleep(run.random.random())
        for file in data.iterdir():
            if file.is_file():
                file.unlink()  # it comes back with nothing
        run.spawn("redis", redis.command(redis_port, data))
        await calling
    await _same(run, journal)


async def _configure(
    run: Run, http: httpx.AsyncClient, admin: str, upstream_port: int, redis_port: int
) -> None:
    # One call of the traffic names a subscription; its tags are those of this gateway's entities.
    entry = run.calls.make(1)[0]
    target, consumer = entry["service"]["tags"], entry["consumer"]

    async def put(path: str, body: dict[str, Any]) -> None:
        answer = await http.put(f"{admin}/{path}", json=body)
        if answer.status_code >= 300:
            raise RuntimeError(f"the Admin API refused {path}: {answer.text[:300]}")

    await put("services/pay", {"url": f"http://127.0.0.1:{upstream_port}", "tags": target})
    await put("services/pay/routes/pay", {"paths": ["/pay"], "tags": target})
    await put("consumers/buyer", {"custom_id": consumer["custom_id"], "tags": consumer["tags"]})
    await put(f"consumers/buyer/key-auth/{_KEY}", {"tags": [f"ns:{NAMESPACE}"]})
    queue = {"max_batch_size": 20, "max_coalescing_delay": 0.1, "max_retry_time": 600}
    counting = {
        "minute": 100_000, "policy": "redis", "fault_tolerant": True,
        "redis": {"host": "127.0.0.1", "port": redis_port, "timeout": 500},
    }  # fmt: skip
    logging = {"http_endpoint": run.sender.url, "headers": {"X-Ingest-Token": INGEST_TOKEN}, "queue": queue}
    for name, config in (
        ("key-auth", {"key_names": ["apikey"]}), ("rate-limiting", counting), ("http-log", logging),
    ):  # fmt: skip
        answer = await http.post(f"{admin}/services/pay/plugins", json={"name": name, "config": config})
        if answer.status_code >= 300:
            raise RuntimeError(f"the Admin API refused {name}: {answer.text[:300]}")


async def _call(http: httpx.AsyncClient, proxy: str, journal: dict[str, int]) -> None:
    left = iter(range(_CALLS))

    async def one() -> None:
        for number in left:
            answer = await http.get(f"{proxy}/pay/rates/EUR?n={number}", headers={"apikey": _KEY})
            journal[answer.headers["X-Kong-Request-Id"]] = answer.status_code

    await asyncio.gather(*[one() for _ in range(_AT_ONCE)])


async def _same(run: Run, journal: dict[str, int]) -> None:
    async def all_there() -> bool:
        return bool(await run.value("SELECT count(*) FROM api_requests_log") >= len(journal))

    try:
        await run.until(all_there, "all answered calls to be metered", seconds=60)
    except TimeoutError as error:
        run.differ(f"O3: {error}")
    async with run.database() as connection:
        rows = await connection.fetch("SELECT request_id, status FROM api_requests_log")
        sums = await connection.fetchrow(
            "SELECT (SELECT sum(calls) FROM usage_records_hourly_now), (SELECT sum(calls) FROM usage_records_daily_now)"
        )
    if {row["request_id"]: row["status"] for row in rows} != journal or len(rows) != len(journal):
        run.differ(f"O1: {len(rows)} calls in the request log, {len(journal)} were answered")
    if set(sums) != {len(journal)}:
        run.differ(f"O1: hours and days hold {list(sums)} calls of {len(journal)}")
    if set(journal.values()) != {200}:
        run.differ(f"without Redis callers were answered {dict(Counter(journal.values()))}")


async def kill_kong_sync(run: Run) -> None:
    """kong-sync dies before or after a write to the gateway, any of them: at most two passes later all is as wished."""
    await migrated_template(run.lab, "kong_sync")
    urls = await run.lab.database("kong_sync")
    admin, proxy = await _double(run)
    run.environment |= {
        "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker, "KONG_ADMIN_URL": admin, "KONG_PROXY_URL": proxy,
        "KONG_SYNC_NAMESPACE": NAMESPACE, "KONG_SYNC_CANARY_CONNECTIONS": "1", "ENABLE_KONG": "true",
        "FAULTS_SEED": str(run.seed),
    }  # fmt: skip
    writes = 1
    while True:
        step = run.random.choice(["write asked for", "write answered"])
        victim = await run.start("kong-sync", failpoint={"at": step, "nth": writes, "after": 0})
        code = await asyncio.wait_for(asyncio.shield(victim.ended), 60)
        if code == 0:  # it had fewer writes to make than that
            break
        run.kills.append(Kill("kong-sync", f"{step}: {writes}", 1, "pass under way", run.elapsed()))
        writes += run.random.randint(2, 8)
    async with httpx.AsyncClient(timeout=20) as http:
        before = await _entities(http, admin)
        again = await run.start("kong-sync")
        if await asyncio.wait_for(asyncio.shield(again.ended), 60) != 0:
            run.differ("a pass over what is as wished found something to do, or failed")
        if await _entities(http, admin) != before:
            run.differ("a second pass changed the gateway")
    twice = [name for name, found in before.items() if len(set(found)) != len(found)]
    if twice or not before["key-auths"]:
        run.differ(f"at the gateway: {before}")
    run.notes.append(", ".join(f"{len(found)} {name}" for name, found in before.items()))


async def _entities(http: httpx.AsyncClient, admin: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in ("services", "routes", "consumers", "key-auths", "acls"):
        page = (await http.get(f"{admin}/{name}", params={"size": 1000})).json()
        found[name] = sorted(item["id"] for item in page["data"])
    return found
