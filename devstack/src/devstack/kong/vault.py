"""References to secrets: `{vault://env/ingest-token}` is the environment variable INGEST_TOKEN."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\{vault://env/([A-Za-z0-9_\-]+)(?:/([^?}]+))?(?:\?[^}]*)?\}")


class Vault:
    """Secrets of the environment, read once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    @classmethod
    def of_process(cls) -> Vault:
        return cls(os.environ)

    def get(self, reference: str) -> str | None:
        """The secret, or None when there is none. Raises ValueError for what is no reference."""
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            raise ValueError(f"not a reference to the env vault: {reference}")
        value = self._environment.get(found[1].upper().replace("-", "_"))
        if value is not None and found[2]:
            value = json.loads(value).get(found[2])
        return None if value is None else str(value)

    def resolve(self, value: str) -> str:
        """The value itself, or the secret that it refers to; an unknown one is empty, as in Kong."""
        return (self.get(value) or "") if _REFERENCE.fullmatch(value) else value
