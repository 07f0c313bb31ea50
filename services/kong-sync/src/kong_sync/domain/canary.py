"""The canary: a probe route of our own that shows whether the gateway has loaded what was written before it.

Each batch of writes ends with a new generation: a new path of the probe route (the router was rebuilt), a new body of
its plugin (the plugins were), a new credential (the caches were invalidated). One request that passes has seen all.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator

from kong_sync.domain.edge import NOWHERE, Edge, address
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.served import guards

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PROBE = Owner(Concern.PROBE)
_CANARY = Owner(Concern.CANARY)


def _base62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = _ALPHABET[digit] + text
    return text


def probe_key(generation: str) -> str:
    """A well-formed test key of this generation. It opens the probe route and nothing else."""
    body = "mk_test_" + _base62(int.from_bytes(hashlib.sha256(generation.encode()).digest()), 43)
    return body + _base62(zlib.crc32(body.encode()), 6)


def probe_path(namespace: str, generation: str) -> str:
    """Where this generation answers. No provider's path begins with an underscore."""
    return f"/_probe/{namespace}/{generation}"


def probe_body(generation: str) -> str:
    """What the gateway answers there."""
    return f'{{"canary":"{generation}"}}'


def probe_ground(edge: Edge) -> Iterator[Entity]:
    """The probe's service and guards, the same as every API's: a gateway without our Lua modules shows here first."""
    service = edge.entity(
        Kind.SERVICE,
        "service.probe",
        _PROBE,
        {"name": f"{edge.namespace}.probe", **address(NOWHERE), "enabled": True, "retries": 0},
        tags=(f"lua:{edge.lua.release}",),
    )
    yield service
    group = f"probe_{edge.namespace}"
    yield from guards(edge, "plugin.probe", _PROBE, service.id, group=group)
    consumer = edge.entity(Kind.CONSUMER, "consumer.probe", _PROBE, {"username": f"{edge.namespace}_probe"})
    yield consumer
    fields = {"group": group, "consumer": {"id": consumer.id}}
    yield edge.entity(Kind.ACL, "consumer.probe.acl", _PROBE, fields)


def canary(edge: Edge, generation: str) -> tuple[Entity, ...]:
    """The three entities that change with every generation, in the order in which they are written."""
    service_id, consumer_id = edge.id_of("service.probe"), edge.id_of("consumer.probe")
    credential = edge.entity(
        Kind.CREDENTIAL,
        "credential.probe",
        _CANARY,
        {
            "key": hashlib.sha256(probe_key(generation).encode()).hexdigest(),
            "consumer": {"id": consumer_id},
        },
        volatile=frozenset({"key"}),
    )
    answer = edge.plugin(
        "request-termination",
        "plugin.probe",
        _CANARY,
        {"status_code": 200, "content_type": "application/json", "body": probe_body(generation)},
        service=service_id,
        volatile=frozenset({"config"}),
    )
    route = edge.entity(
        Kind.ROUTE,
        "route.probe",
        _CANARY,
        {
            "name": f"{edge.namespace}.probe",
            "paths": [probe_path(edge.namespace, generation)],
            "strip_path": False,
            "service": {"id": service_id},
        },
        volatile=frozenset({"paths"}),
    )
    return credential, answer, route
