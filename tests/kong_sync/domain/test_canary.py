"""The canary's key is a key like any other, and opens only the probe."""

from __future__ import annotations

import hashlib

from kong_sync.domain.canary import canary, probe_key
from kong_sync.domain.entities import Kind
from tests.gateway.keys import checksum
from tests.gateway.pdk import Exchange
from tests.kong_sync.factories import an_edge, plugin, wanted


def test_a_probe_key_passes_the_gateways_own_check() -> None:
    key = probe_key("g1")
    assert key[-6:] == checksum(key[:-6])
    exchange = Exchange(request_headers={"X-API-Key": key})
    assert exchange.run_access() is None
    credential = canary(an_edge(), "g1")[0]
    assert (
        exchange.request_headers["x-api-key"]
        == credential.fields["key"]
        == hashlib.sha256(key.encode()).hexdigest()
    )


def test_each_generation_has_another_key_path_and_body() -> None:
    first, second = canary(an_edge(), "g1"), canary(an_edge(), "g2")
    assert [e.id for e in first] == [e.id for e in second]
    assert all(a.fields != b.fields for a, b in zip(first, second, strict=True))


def test_the_probe_opens_no_api() -> None:
    entities = wanted()
    assert plugin(entities, "acl", "probe").fields["config"]["allow"] == ["probe_m"]
    groups = {e.fields["group"]: e.owner.concern for e in entities if e.kind is Kind.ACL}
    assert groups["probe_m"] == "probe"
    assert plugin(entities, "acl", "api").fields["config"]["allow"] != ["probe_m"]
