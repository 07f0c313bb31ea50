"""Calls as a busy gateway logs them: 5,000 credentials of 200 APIs, the popular ones far more often, in time order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from common.ids import derived_id

NAMESPACE = "bench"
CREDENTIALS, APIS, ZIPF = 5_000, 200, 0.9
ENDPOINTS = (("GET", "/things/{id}", 60), ("GET", "/things", 30), ("POST", "/orders", 10))
# Status, source, upstream's status, and of how many in a hundred.
ANSWERS = (
    (200, "upstream", '"200"', 94),
    (404, "upstream", '"404"', 3),
    (429, "exit", '""', 2),
    (500, "upstream", '"500"', 1),
)
# Every call of the hour in which the calls of a run begin, however many those are.
SPAN_SECONDS = 3_600

# What Kong 3.9 logs, 1.1 kB with a path of common length; %(…)s as bytes, for a run makes hundreds of thousands.
_ENTRY = (
    '{"started_at":%%(at)d,"client_ip":"203.0.113.77","request":{"id":"%%(id)032x","method":"%%(method)b",'
    '"path":"/%(provider)s/%(api)s/v1%%(path)b","uri":"/%(provider)s/%(api)s/v1%%(path)b?page=2","size":%%(size)d,'
    '"headers":{"host":"gateway.example","accept":"*/*","user-agent":"curl/8.5"}},"response":{"status":%%(status)d,'
    '"size":%%(answer)d,"headers":{"content-type":"application/json"}},"latencies":{"request":%%(took)d,'
    '"proxy":%%(proxy)d,"kong":3,"receive":0},"source":"%%(source)b","upstream_status":%%(upstream)b,'
    '"service":{"id":"%(service)s","host":"upstream.internal","port":443,"protocol":"https","tags":[%(target)s]},'
    '"route":{"id":"%(route)s","paths":["/%(provider)s/%(api)s/v1/"],"tags":[%(target)s]},'
    '"authenticated_entity":{"id":"%(key)s"},"consumer":{"custom_id":"%(subscription)s",'
    '"username":"sub_%(subscription)s","tags":[%(payer)s]},"workspace":"default",'
    '"tries":[{"ip":"10.1.2.3","port":18080,"balancer_latency":0}]}'
)


@dataclass(frozen=True, slots=True)
class Credential:
    """A key of a subscription to an API, and the form of its calls."""

    subscription: str
    plan_version: str
    consumer_org: str
    provider_org: str
    api: str
    version: str
    entry: bytes


def _id(kind: str, number: int) -> str:
    return str(derived_id(f"bench:{kind}:{number}"))


def credentials() -> list[Credential]:
    """All of them, the most popular first."""
    return [_credential(number) for number in range(CREDENTIALS)]


def _credential(number: int) -> Credential:
    api = number % APIS
    ids = {
        "subscription": _id("subscription", number), "plan_version": _id("plan", api), "api": _id("api", api),
        "consumer_org": _id("consumer", number), "provider_org": _id("provider", api % 50),
        "version": _id("version", api),
    }  # fmt: skip
    target = [f"ns:{NAMESPACE}", "managed-by:kong-sync", f"api:{ids['api']}", f"version:{ids['version']}"]
    payer = [f"ns:{NAMESPACE}", f"subscription:{ids['subscription']}", f"org:{ids['consumer_org']}"]
    payer += [f"plan:{ids['plan_version']}", f"api:{ids['api']}", "mode:live"]
    for tags in (target, payer):
        tags.append(f"provider:{ids['provider_org']}")
    entry = _ENTRY % {
        "provider": f"provider{api % 50}", "api": f"api{api}", "service": _id("service", api),
        "route": _id("route", api), "key": _id("key", number), "subscription": ids["subscription"],
        "target": ",".join(f'"{tag}"' for tag in target), "payer": ",".join(f'"{tag}"' for tag in payer),
    }  # fmt: skip
    return Credential(**ids, entry=entry.encode())


def entries(count: int, *, first: int = 0, ends: datetime, seed: int = 7) -> Iterator[bytes]:
    """`count` entries as Kong posts them, numbered from `first`: the same ones for the same seed and end."""
    chosen = random.Random(f"{seed}:{first}")
    callers, weights = credentials(), [(rank + 1) ** -ZIPF for rank in range(CREDENTIALS)]
    begins_ms = int(ends.timestamp() * 1000) - SPAN_SECONDS * 1000
    for done in range(0, count, 10_000):
        block = range(done, min(done + 10_000, count))
        callees = chosen.choices(callers, weights, k=len(block))
        endpoints = chosen.choices(ENDPOINTS, [share for *_, share in ENDPOINTS], k=len(block))
        answers = chosen.choices(ANSWERS, [share for *_, share in ANSWERS], k=len(block))
        for number, caller, (method, path, _), (status, source, upstream, _) in zip(
            block, callees, endpoints, answers, strict=True
        ):
            took = chosen.randrange(5, 400)
            yield caller.entry % {
                b"at": begins_ms + number * SPAN_SECONDS * 1000 // count, b"id": seed << 96 | first + number,
                b"method": method.encode(), b"path": path.replace("{id}", str(number % 9973)).encode(),
                b"size": 133, b"status": status, b"answer": 300 + took, b"took": took,
                b"proxy": took - 3 if source == "upstream" else -1, b"source": source.encode(),
                b"upstream": upstream.encode(),
            }  # fmt: skip


def bodies(found: Iterator[bytes], *, size: int = 200) -> Iterator[tuple[bytes, int]]:
    """POST bodies of `size` entries, and how many are in each."""
    gathered: list[bytes] = []
    for entry in found:
        gathered.append(entry)
        if len(gathered) == size:
            yield b"[" + b",".join(gathered) + b"]", size
            gathered = []
    if gathered:
        yield b"[" + b",".join(gathered) + b"]", len(gathered)
