"""/v1/{customers,invoices,payment_intents,charges}/search: equality on metadata and a few fields.

Stripe indexes for search with a delay of up to a minute; here a search sees everything at once.
"""

import re
from collections.abc import Callable

from devstack.stripe.call import Call
from devstack.stripe.errors import ApiError
from devstack.stripe.rendering import render
from devstack.stripe.routing import Handler, endpoint
from devstack.stripe.store import Json

_CLAUSE = re.compile(
    r"""\s*(?:metadata\[(?P<q1>["'])(?P<key>.+?)(?P=q1)\]|(?P<field>\w+)):(?P<q2>["'])(?P<value>.*?)(?P=q2)\s*"""
)
_FIELDS = {
    "customer": ("email", "name", "phone"),
    "invoice": ("customer", "number", "status", "currency"),
    "payment_intent": ("customer", "status", "currency"),
    "charge": ("customer", "status", "currency", "payment_intent"),
}


def _register(kind: str) -> Handler:
    @endpoint("GET", f"/v1/{kind}s/search", "query limit page")
    def search(call: Call) -> Json:
        matches = _matcher(kind, call.params.required("query"))
        limit = call.params.integer("limit") or 10
        first = int(call.params.text("page") or 0)
        found = [body for body in call.store.newest(kind, account=call.account) if matches(body)]
        data = [render(call, body) for body in found[first : first + limit]]
        more = len(found) > first + limit
        return {
            "object": "search_result",
            "data": data,
            "has_more": more,
            "next_page": str(first + limit) if more else None,
            "url": f"/v1/{kind}s/search",
        }

    return search


def _matcher(kind: str, query: str) -> Callable[[Json], bool]:
    clauses: list[tuple[str | None, str | None, str]] = []
    for part in re.split(r"\s+AND\s+", query):
        match = _CLAUSE.fullmatch(part)
        if not match or (match["field"] and match["field"] not in _FIELDS[kind]):
            raise ApiError(f"We were unable to parse your search query: {part}", param="query")
        clauses.append((match["key"], match["field"], match["value"]))

    def matches(body: Json) -> bool:
        return not body.get("deleted") and all(
            body["metadata"].get(key) == value if key else body.get(str(field)) == value
            for key, field, value in clauses
        )

    return matches


SEARCHES = [_register(kind) for kind in _FIELDS]
