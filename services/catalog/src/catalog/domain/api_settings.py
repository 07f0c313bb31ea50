"""How the gateway treats calls to one API: what its provider may set."""

import ipaddress
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from catalog.domain.errors import BadSettings
from catalog.domain.headers import header_name

_MAX_VALUE = 500


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the gateway waits for the provider's server, in milliseconds."""

    connect_ms: int = 5_000
    read_ms: int = 60_000
    write_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """What the provider's server gets besides, or instead, and what it does not get. Names in lower case."""

    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The provider has taken the API down, until then or until it says otherwise."""

    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The settings of an API, each with its default."""

    timeouts: Timeouts = Timeouts()
    retries: int = 2
    tls_verify: bool | None = None  # None: as the gateway's operator has it
    max_body_mb: int | None = None  # None: as much as the gateway takes
    blocked_ips: tuple[str, ...] = ()
    request_headers: RequestHeaders = RequestHeaders()
    maintenance: Maintenance | None = None

    def to_wire(self) -> dict[str, Any]:
        """The settings as events, tables and answers carry them."""
        until = self.maintenance.until if self.maintenance else None
        return {
            "timeouts": asdict(self.timeouts),
            "retries": self.retries,
            "tls_verify": self.tls_verify,
            "max_body_mb": self.max_body_mb,
            "blocked_ips": list(self.blocked_ips),
            "request_headers": {
                "add": dict(self.request_headers.add),
                "remove": list(self.request_headers.remove),
            },
            "maintenance": {"until": until.isoformat() if until else None} if self.maintenance else None,
        }


DEFAULT_SETTINGS = ApiSettings()


def changed_settings(settings: ApiSettings, wire: Mapping[str, Any]) -> ApiSettings:
    """The settings with those parts replaced that `wire` holds, in the form of `to_wire`."""
    parts = {f.name: wire[f.name] for f in fields(ApiSettings) if f.name in wire}
    if "timeouts" in parts:
        parts["timeouts"] = Timeouts(**parts["timeouts"])
    if "blocked_ips" in parts:
        parts["blocked_ips"] = tuple(parts["blocked_ips"])
    if "request_headers" in parts:
        headers = parts["request_headers"]
        parts["request_headers"] = RequestHeaders(tuple(headers["add"].items()), tuple(headers["remove"]))
    if parts.get("maintenance") is not None:
        until = parts["maintenance"]["until"]
        parts["maintenance"] = Maintenance(datetime.fromisoformat(until) if isinstance(until, str) else until)
    return replace(settings, **parts)


def checked_settings(settings: ApiSettings) -> ApiSettings:
    """The settings in the form in which equal ones are equal; BadSettings names the first field that breaks a rule."""
    headers = settings.request_headers
    return replace(
        settings,
        blocked_ips=tuple(sorted({_network(text) for text in settings.blocked_ips})),
        request_headers=RequestHeaders(
            add=tuple(sorted((_name(name, part="add"), _value(name, value)) for name, value in headers.add)),
            remove=tuple(sorted({_name(name, part="remove") for name in headers.remove})),
        ),
    )


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise BadSettings(f"{text!r} is no address and no network: {error}.", field="blocked_ips") from error
    return str(network.network_address if network.num_addresses == 1 else network)


def _name(name: str, *, part: str) -> str:
    usable = header_name(name)
    if usable is None:
        raise BadSettings(
            f"The header {name!r} is not yours to change: HTTP, the caller or the gateway needs it.",
            field=f"request_headers.{part}",
        )
    return usable


def _value(name: str, value: str) -> str:
    # Kong's request-transformer evaluates $(...) as Lua.
    if not (value.isascii() and value.isprintable()) or len(value) > _MAX_VALUE or "$(" in value or not value:
        raise BadSettings(
            f"The value of {name!r} is 1 to {_MAX_VALUE} printable ASCII characters without $( in them.",
            field="request_headers.add",
        )
    return value
