"""Valid values with keyword overrides, no randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from kong_sync.domain.desired import desired_entities
from kong_sync.domain.edge import Edge, LuaSource
from kong_sync.domain.entities import Entity, Kind
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Api, ApiVersion, Endpoint, Key, Phase, Quota, Subscription, Tables

NOW = datetime(2026, 11, 15, 12, 0, tzinfo=UTC)


def an_id(name: str) -> str:
    """The same id for the same name."""
    return str(uuid5(NAMESPACE_URL, name))


def derive(*parts: str) -> str:
    """Ids as the platform derives them."""
    return an_id("/".join(parts))


LUA = LuaSource("-- pre", "-- pre header", "-- post", "-- header", "-- body", {"request.uri": "return nil"})


def an_edge(**overrides: Any) -> Edge:
    """A marketplace's gateway."""
    edge = Edge(namespace="m", ingest_url="http://metering:8104/v1/ingest/kong", lua=LUA, derive=derive)
    return replace(edge, **overrides)


def an_api(**overrides: Any) -> Api:
    """A published API."""
    api = Api(
        id=an_id("api"), version=1, provider_id=an_id("acme"), provider_slug="acme", slug="pay",
        base_url="https://pay.acme.example/base/", status="published", latest_version="v1",
    )  # fmt: skip
    return replace(api, **overrides)


def a_version(**overrides: Any) -> ApiVersion:
    """Its only version."""
    version = ApiVersion(
        id=an_id("v1"), version=1, api_id=an_id("api"), name="v1", state="active", is_latest=True
    )
    return replace(version, **overrides)


# Of every kind: asking for one scope, several, none, and saying nothing.
SCOPED = (
    Endpoint("GET", "/things", ("read",)),
    Endpoint("GET", "/things/{id}", ("read",)),
    Endpoint("POST", "/things", ("a/b,c", "read")),
    Endpoint("GET", "/open", ()),
    Endpoint("GET", "/unknown", None),
)


def a_phase(**overrides: Any) -> Phase:
    """A plan version in force since the first of the month."""
    phase = Phase(an_id("plan-version"), datetime(2026, 11, 1, tzinfo=UTC), None, Limits(minute=60))
    return replace(phase, **overrides)


def a_subscription(**overrides: Any) -> Subscription:
    """An active subscription to the API."""
    subscription = Subscription(
        id=an_id("subscription"), version=1, organisation_id=an_id("buyer"), provider_id=an_id("acme"),
        api_id=an_id("api"), plan_version_id=an_id("plan-version"), status="active", phases=(a_phase(),),
    )  # fmt: skip
    return replace(subscription, **overrides)


def a_key(**overrides: Any) -> Key:
    """A live key of the subscription."""
    key = Key(
        id=an_id("key"), version=1, subscription_id=an_id("subscription"),
        sha256=hashlib.sha256(b"a key").hexdigest(), mode="live", status="active", expires_at=None, changed_at=NOW,
    )  # fmt: skip
    return replace(key, **overrides)


def a_quota(**overrides: Any) -> Quota:
    """This month's quota, not reached."""
    quota = Quota(an_id("subscription"), "2026-11", 1, "ok", datetime(2026, 12, 1, tzinfo=UTC))
    return replace(quota, **overrides)


def some_tables(
    *, apis: Iterable[Api] | None = None, versions: Iterable[ApiVersion] | None = None,
    subscriptions: Iterable[Subscription] | None = None, keys: Iterable[Key] | None = None,
    quotas: Iterable[Quota] = (),
) -> Tables:  # fmt: skip
    """One of each, unless told otherwise."""
    return Tables(
        apis={a.id: a for a in ([an_api()] if apis is None else apis)},
        versions={v.id: v for v in ([a_version()] if versions is None else versions)},
        subscriptions={s.id: s for s in ([a_subscription()] if subscriptions is None else subscriptions)},
        keys={k.id: k for k in ([a_key()] if keys is None else keys)},
        quotas={(q.subscription_id, q.period): q for q in quotas},
    )


def only(**tables: Any) -> Tables:
    """Nothing but these rows."""
    return some_tables(**{"apis": [], "versions": [], "subscriptions": [], "keys": [], **tables})


def wanted(tables: Tables | None = None, *, edge: Edge | None = None, now: datetime = NOW) -> list[Entity]:
    """The desired state."""
    return desired_entities(tables or some_tables(), edge or an_edge(), generation="g1", now=now)


def of_kind(entities: Iterable[Entity], kind: Kind, concern: str) -> list[Entity]:
    """The entities of one kind that stand there for one concern."""
    return [e for e in entities if e.kind is kind and e.owner.concern == concern]


def plugin(entities: Iterable[Entity], name: str, concern: str) -> Entity:
    """The only plugin of that name for one concern."""
    (found,) = (e for e in of_kind(entities, Kind.PLUGIN, concern) if e.fields["name"] == name)
    return found


def as_kong_returns(entity: Entity) -> Entity:
    """`entity` as Kong would list it: with defaults filled in, nulls, and sets in an order of its own."""
    fields: dict[str, Any] = {
        "id": entity.id,
        "created_at": 1,
        "updated_at": 2,
        "ws_id": None,
        **entity.fields,
    }
    fields["tags"] = list(reversed(fields["tags"]))
    if entity.kind is Kind.ROUTE:
        fields = {"hosts": None, "methods": None, "regex_priority": 0, "path_handling": "v0", **fields}
    if entity.kind is Kind.PLUGIN:
        fields["config"] = {"hide_client_headers": False, "retry_count": None, **fields["config"]}
        fields = {"service": None, "consumer": None, "route": None, "protocols": ["grpc", "http"], **fields}
    return replace(entity, fields=fields)
