"""Log entries and calls, valid by default, with keyword overrides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from metering.domain.attribution import PARTY_COLUMNS, parties
from metering.domain.call import Call
from metering.domain.lateness import milliseconds

NAMESPACE = "marketplace"
PROVIDER_ORG = "01930000-0000-7000-8000-00000000000a"
CONSUMER_ORG = "01930000-0000-7000-8000-00000000000b"
OTHER_ORG = "01930000-0000-7000-8000-00000000000c"
API = "01930000-0000-7000-8000-000000000001"
VERSION = "01930000-0000-7000-8000-000000000002"
SUBSCRIPTION = "01930000-0000-7000-8000-000000000003"
PLAN_VERSION = "01930000-0000-7000-8000-000000000004"
KEY = "01930000-0000-7000-8000-000000000005"
ENDPOINT = "01930000-0000-7000-8000-000000000006"
AT = datetime(2026, 11, 15, 11, 30, tzinfo=UTC)


def ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def request_id(number: int) -> str:
    return f"{number:032x}"


def an_entry(
    number: int = 1,
    *,
    at: datetime = AT,
    status: int = 200,
    source: str = "upstream",
    upstream_status: str | None = None,
    consumer: bool = True,
    mode: str = "live",
    subscription: str = SUBSCRIPTION,
    plan: str = PLAN_VERSION,
    org: str = CONSUMER_ORG,
    provider: str = PROVIDER_ORG,
    api: str = API,
    path: str = "/acme/pay/v1/things/7",
    method: str = "GET",
    **overrides: Any,
) -> dict[str, Any]:
    """An entry as the gateway of this marketplace logs it, with the fields of a real Kong 3.9."""
    target = [
        f"ns:{NAMESPACE}",
        "managed-by:kong-sync",
        f"api:{api}",
        f"version:{VERSION}",
        f"provider:{provider}",
    ]
    entry: dict[str, Any] = {
        "started_at": ms(at),
        "client_ip": "203.0.113.77",
        "request": {"id": request_id(number), "method": method, "path": path, "size": 133},
        "response": {"status": status, "size": 406},
        "latencies": {"request": 9, "proxy": 3 if source == "upstream" else -1, "kong": 6, "receive": 0},
        "source": source,
        "upstream_status": upstream_status
        if upstream_status is not None
        else str(status) * (source == "upstream"),
        "service": {
            "id": "92d996cd-f1b2-48bd-85d4-9469d44c414a",
            "host": "upstream.internal",
            "tags": target,
        },
        "route": {"id": "ed731c4e-e5cc-4ac4-a8e0-d5e106ebc88c", "tags": target},
        "workspace": "default",
        "tries": [{"ip": "10.1.2.3", "port": 18080}],
    }
    if consumer:
        entry["authenticated_entity"] = {"id": KEY}
        entry["consumer"] = {
            "custom_id": subscription,
            "username": f"sub_{subscription}",
            "tags": [
                f"ns:{NAMESPACE}", f"subscription:{subscription}", f"org:{org}", f"plan:{plan}", f"api:{api}",
                f"provider:{provider}", f"mode:{mode}",
            ],
        }  # fmt: skip
    return entry | overrides


def a_call(number: int = 1, **overrides: Any) -> Call:
    values: dict[str, Any] = {
        "started_at": AT, "request_id": request_id(number), "subscription_id": SUBSCRIPTION,
        "plan_version_id": PLAN_VERSION, "key_id": KEY, "is_test": False, "consumer_org": CONSUMER_ORG,
        "provider_org": PROVIDER_ORG, "api_id": API, "version_id": VERSION, "endpoint_id": None, "method": "GET",
        "path": "/acme/pay/v1/things/7", "status": 200, "upstream_status": 200, "source": "upstream",
        "billable": True, "units": 1, "latency_ms": 9, "upstream_latency_ms": 3, "gateway_latency_ms": 6,
        "bytes_in": 133, "bytes_out": 406, "country": None, "client_net": "203.0.113.0/24",
    }  # fmt: skip
    values |= overrides
    values["started_ms"] = milliseconds(values.pop("started_at"))
    who = parties(tuple(values.pop(name) for name in PARTY_COLUMNS))
    return Call(who=who, **values)
