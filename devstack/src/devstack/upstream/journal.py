"""The journal: one JSON line for every request, on file before the answer is sent.

It is the oracle of end-to-end checks (which calls really reached the provider), so it is append-only and
says, too, when something that looks like an API key came through.
"""

import json
import os
import re
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devstack.upstream.messages import Request

PAGE = 10_000
_KEY = re.compile(r"mk_(?:live|test)_[0-9A-Za-z]*")
_DIGEST = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")
_CONSUMER_HEADERS = {
    "x-consumer-id": "id",
    "x-consumer-custom-id": "custom_id",
    "x-consumer-username": "username",
    "x-credential-identifier": "credential",
    "x-anonymous-consumer": "anonymous",
}


_CALLER = "x-marketplace-"


def _caller(request: Request) -> dict[str, str | bool]:
    """Who the gateway says is calling. Of the secret only that it came: the journal must not become a leak itself."""
    told: dict[str, str | bool] = {
        name.removeprefix(_CALLER): value for name, value in request.headers if name.startswith(_CALLER)
    }
    return told | {"secret": True} if "secret" in told else told


class Journal:
    """Appends by single write() calls; remembers where each line starts, so that a page is one read."""

    def __init__(self, path: Path, *, secret_headers: Sequence[str] = ()) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._secret_headers = {name.lower() for name in secret_headers}
        self._starts = array("Q", [0])
        self._index()

    def _index(self) -> None:
        size = os.fstat(self._descriptor).st_size
        content = os.pread(self._descriptor, size, 0)
        end = content.rfind(b"\n") + 1
        # A line cut off by a crash of the machine was never answered either.
        os.ftruncate(self._descriptor, end)
        position = content.find(b"\n")
        while position >= 0:
            self._starts.append(position + 1)
            position = content.find(b"\n", position + 1)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def write(self, request: Request, *, status: int, operation: str | None, size: int) -> None:
        """The call is on file: a kill -9 right after this loses nothing."""
        entry = {
            "seq": len(self),
            "time": time.time(),
            "request_id": request.header("x-kong-request-id"),
            "method": request.method,
            "path": request.path,
            "operation": operation,
            "status": status,
            "bytes": size,
            "consumer": {
                short: value for name, short in _CONSUMER_HEADERS.items() if (value := request.header(name))
            },
            "caller": _caller(request),
            "leaks": self._leaks(request),
        }
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        os.write(self._descriptor, line)
        self._starts.append(self._starts[-1] + len(line))

    def read(self, since: int) -> dict[str, Any]:
        """Entries from number `since` on, at most a page, and the number to go on with."""
        first = min(max(since, 0), len(self))
        last = min(first + PAGE, len(self))
        start, end = self._starts[first], self._starts[last]
        lines = os.pread(self._descriptor, end - start, start).splitlines()
        return {"entries": [json.loads(line) for line in lines], "next": last, "total": len(self)}

    def _leaks(self, request: Request) -> list[dict[str, str]]:
        # The finding names the place and the public prefix only: the journal must not become a leak itself.
        places = [
            (f"header {name}", value) for name, value in request.headers if name not in self._secret_headers
        ]
        places += [("query", request.query_string), ("path", request.path)]
        found = []
        for place, value in places:
            found += [{"where": place, "kind": "key", "prefix": key[:12]} for key in _KEY.findall(value)]
            found += [
                {"where": place, "kind": "digest", "prefix": digest[:6]} for digest in _DIGEST.findall(value)
            ]
        return found
