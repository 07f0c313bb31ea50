"""The table of endpoints: method, path, handler, and the parameters it understands."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from devstack.stripe.call import Call
from devstack.stripe.store import Json

Handler = Callable[[Call], Json]
PAGING = "limit starting_after ending_before"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One entry of the table."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    parameters: frozenset[str]


ENDPOINTS: list[Endpoint] = []


def endpoint(method: str, template: str, parameters: str = "") -> Callable[[Handler], Handler]:
    """Registers a handler. Any parameter that is not listed is refused as unknown."""
    pattern = re.compile(re.sub(r"\{\w+\}", "([^/]+)", template))

    def register(handler: Handler) -> Handler:
        names = frozenset({"expand", *parameters.split()})
        ENDPOINTS.append(Endpoint(method, pattern, handler, names))
        return handler

    return register


def find_endpoint(method: str, path: str) -> tuple[Endpoint, tuple[str, ...]] | None:
    """The endpoint and the path's parameters; the pattern with the fewest parameters wins."""
    matches = [
        (candidate, match.groups())
        for candidate in ENDPOINTS
        if candidate.method == method and (match := candidate.pattern.fullmatch(path))
    ]
    return min(matches, key=lambda found: len(found[1]), default=None)
