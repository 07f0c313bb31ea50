"""Form-encoded parameters with nested keys: `lines[0][period][start]=1`, `expand[]=customer`."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from devstack.stripe.errors import ApiError, parameter_missing, parameter_unknown

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INTEGER = re.compile(r"-?\d{1,18}")
_MAX_TEXT = 5000
_MAX_METADATA_KEYS = 50


def decode(encoded: str) -> "Params":
    """The parameters of a body or a query string."""
    root: dict[str, Any] = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True):
        match = _KEY.fullmatch(key)
        if not match:
            raise ApiError(f"Invalid parameter name: {key}", param=key)
        _put(root, [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])], key, value)
    return Params(root)


def _put(root: dict[str, Any], parts: list[str], key: str, value: str) -> None:
    node = root
    for part in parts[:-1]:
        node = node.setdefault(part or str(len(node)), {})
        if not isinstance(node, dict):
            raise ApiError(f"Invalid parameter: {key} is both a value and a hash.", param=key)
    node[parts[-1] or str(len(node))] = value


class Params:
    """Reads typed values; what is not of the type is Stripe's error for it."""

    def __init__(self, values: dict[str, Any], prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def name(self, key: str) -> str:
        return f"{self._prefix}[{key}]" if self._prefix else key

    def allow(self, names: Iterable[str]) -> None:
        """Every parameter is one of these; a double that ignored one would make a wrong client look right."""
        unknown = sorted(self.name(name) for name in set(self._values) - set(names))
        if unknown:
            raise parameter_unknown(unknown)

    def text(self, key: str) -> str | None:
        """The value, or None if it is left out or empty (which is how Stripe unsets)."""
        value = self._values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise ApiError(f"Invalid string: {self.name(key)}", param=self.name(key))
        if len(value) > _MAX_TEXT:
            message = f"Invalid string: at most {_MAX_TEXT} characters."
            raise ApiError(message, code="parameter_invalid_string", param=self.name(key))
        return value

    def required(self, key: str) -> str:
        if key not in self._values:
            raise parameter_missing(self.name(key))
        value = self.text(key)
        if value is None:
            message = f"You passed an empty string for '{self.name(key)}'."
            raise ApiError(message, code="parameter_invalid_empty", param=self.name(key))
        return value

    def one_of(self, key: str, choices: Iterable[str], default: str) -> str:
        value = self.text(key) or default
        if value not in (allowed := list(choices)):
            message = f"Invalid {self.name(key)}: must be one of {', '.join(allowed)}"
            raise ApiError(message, param=self.name(key))
        return value

    def integer(self, key: str) -> int | None:
        value = self.text(key)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            message = f"Invalid integer: {value}"
            raise ApiError(message, code="parameter_invalid_integer", param=self.name(key))
        return int(value)

    def required_integer(self, key: str) -> int:
        self.required(key)
        value = self.integer(key)
        assert value is not None
        return value

    def flag(self, key: str) -> bool | None:
        value = self.text(key)
        if value not in (None, "true", "false"):
            raise ApiError(f"Invalid boolean: {value}", param=self.name(key))
        return None if value is None else value == "true"

    def hash(self, key: str) -> "Params":
        """A nested hash, empty if left out."""
        value = self._values.get(key) or {}
        if not isinstance(value, dict):
            raise ApiError(f"Invalid object: {self.name(key)}", param=self.name(key))
        return Params(value, self.name(key))

    def holds_hash(self, key: str) -> bool:
        return isinstance(self._values.get(key), dict)

    def hashes(self, key: str) -> list["Params"]:
        """The hashes of an array, in the order of their indices."""
        indexed = self.hash(key)
        order = sorted(indexed, key=lambda index: (len(index), index))
        return [indexed.hash(index) for index in order]

    def strings(self, key: str) -> list[str]:
        value = self._values.get(key)
        if isinstance(value, str):
            return [value] if value else []
        indexed = self.hash(key)
        return [indexed.required(index) for index in sorted(indexed, key=lambda index: (len(index), index))]

    def currency(self, key: str = "currency") -> str | None:
        value = self.text(key)
        if value is not None and not re.fullmatch(r"[A-Za-z]{3}", value):
            raise ApiError(f"Invalid currency: {value.lower()}.", param=self.name(key))
        return value.lower() if value else None

    def metadata(self, present: dict[str, str]) -> dict[str, str]:
        """The present metadata with this call's changes: an empty value unsets a key, an empty hash all."""
        if "metadata" not in self._values:
            return present
        if self._values["metadata"] == "":
            return {}
        merged = dict(present)
        changes = self.hash("metadata")
        for key in changes:
            value = changes.text(key)
            if len(key) > 40 or len(value or "") > 500:
                message = "Metadata keys have at most 40 characters, values at most 500."
                raise ApiError(message, param=changes.name(key))
            merged.pop(key, None)
            if value is not None:
                merged[key] = value
        if len(merged) > _MAX_METADATA_KEYS:
            raise ApiError(f"At most {_MAX_METADATA_KEYS} metadata keys.", param="metadata")
        return merged

    def flat(self) -> list[tuple[str, str]]:
        """Every parameter with its full name, sorted: equal for equal requests."""
        found: list[tuple[str, str]] = []
        for key, value in self._values.items():
            if isinstance(value, dict):
                found += Params(value, self.name(key)).flat()
            else:
                found.append((self.name(key), value))
        return sorted(found)
