"""From stored objects to what goes over the wire: nested lists, expansion, pages."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from devstack.stripe.call import Call
from devstack.stripe.errors import ApiError, resource_missing
from devstack.stripe.store import Json

_NESTED_LIMIT = 10
_MAX_EXPAND_DEPTH = 4
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_MAY_BE_DELETED = {"customer", "account"}


def render(call: Call, body: Json) -> Json:
    """The object with the lists that always hang on it."""
    if body["object"] == "invoice" and "lines" not in body:
        lines = call.store.children(body["id"], "line_item")
        return {**body, "lines": _nested(f"/v1/invoices/{body['id']}/lines", lines)}
    if body["object"] == "transfer":
        reversals = list(reversed(call.store.children(body["id"], "transfer_reversal")))
        return {**body, "reversals": _nested(f"/v1/transfers/{body['id']}/reversals", reversals)}
    return body


def _includable(call: Call, body: Json, name: str) -> Json | None:
    """Lists that are only there when asked for."""
    if (body.get("object"), name) == ("invoice", "payments"):
        found = call.store.children(body["id"], "invoice_payment")
        return _nested(f"/v1/invoice_payments?invoice={body['id']}", found)
    if (body.get("object"), name) == ("charge", "refunds"):
        found = list(reversed(call.store.children(body["id"], "refund")))
        return _nested(f"/v1/charges/{body['id']}/refunds", found)
    return None


def _nested(url: str, items: list[Json]) -> Json:
    return {
        "object": "list",
        "data": items[:_NESTED_LIMIT],
        "has_more": len(items) > _NESTED_LIMIT,
        "total_count": len(items),
        "url": url,
    }


def expand(call: Call, body: Json, paths: list[str]) -> Json:
    """The answer with the ids on these paths replaced by the objects they name."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > _MAX_EXPAND_DEPTH:
            message = f"You cannot expand more than {_MAX_EXPAND_DEPTH} levels of a property."
            raise ApiError(message, param="expand")
        body = _expanded(call, body, parts, path)
    return body


def _expanded(call: Call, node: Any, parts: list[str], path: str) -> Any:
    if not parts or node is None:
        return node
    if not isinstance(node, dict):
        raise ApiError(f"This property cannot be expanded ({path}).", param="expand")
    head, rest = parts[0], parts[1:]
    value = node.get(head)
    if node.get("object") == "list" and head == "data":
        return {**node, "data": [_expanded(call, item, rest, path) for item in node["data"]]}
    if isinstance(value, str):
        found = call.store.find(value, account=call.account) or _foreign_account(call, head, value)
        if found is None:
            raise ApiError(f"This property cannot be expanded ({path}).", param="expand")
        value = render(call, found)
    elif head not in node:
        value = _includable(call, node, head)
        if value is None:
            raise ApiError(f"This property cannot be expanded ({path}).", param="expand")
    elif not rest and value is not None and not isinstance(value, dict):
        raise ApiError(f"This property cannot be expanded ({path}).", param="expand")
    return {**node, head: _expanded(call, value, rest, path)}


def _foreign_account(call: Call, name: str, object_id: str) -> Json | None:
    # The payment that a transfer makes lies in the account it went to.
    if name != "destination_payment":
        return None
    row = call.store.connection.execute("SELECT account FROM object WHERE id = ?", (object_id,)).fetchone()
    return call.store.find(object_id, account=row["account"]) if row else None


def page(
    call: Call,
    kind: str,
    url: str,
    *,
    equal: Mapping[str, object | None] | None = None,
    parent: str | None = None,
    oldest_first: bool = False,
) -> Json:
    """One page of objects by Stripe's rules, filtered by equality and by `created` where the call says so."""
    limit = call.params.integer("limit")
    limit = 10 if limit is None else limit
    if not 1 <= limit <= 100:
        message = f"This value must be {'less than or equal to 100' if limit > 100 else 'greater than or equal to 1'}."
        raise ApiError(message, code="parameter_invalid_integer", param="limit")
    after, before = (_cursor(call, name) for name in ("starting_after", "ending_before"))
    if after is not None and before is not None:
        raise ApiError("You cannot use both starting_after and ending_before.", param="starting_after")
    backwards = before is not None
    low, high = (after, before) if oldest_first else (before, after)
    found = call.store.newest(
        kind,
        account=call.account,
        parent=parent,
        equal={name: value for name, value in (equal or {}).items() if value is not None},
        after=low,
        before=high,
        oldest_first=oldest_first != backwards,
        limit=-1 if "created" in call.params or kind in _MAY_BE_DELETED else limit + 1,
    )
    found = [body for body in found if not body.get("deleted") and _created_fits(call, body)]
    chosen = found[:limit]
    if backwards:
        chosen.reverse()
    data = [render(call, body) for body in chosen]
    return {"object": "list", "data": data, "has_more": len(found) > limit, "url": url}


def _cursor(call: Call, name: str) -> int | None:
    object_id = call.params.text(name)
    if object_id is None:
        return None
    seq = call.store.seq(object_id)
    if seq is None:
        raise resource_missing("object", object_id, name)
    return seq


def _created_fits(call: Call, body: Json) -> bool:
    if "created" not in call.params:
        return True
    created = int(body["created"] if "created" in body else body["date"])
    if not call.params.holds_hash("created"):
        return created == call.params.integer("created")
    bounds = call.params.hash("created")
    bounds.allow(_COMPARISONS)
    limits = {name: bounds.integer(name) for name in bounds}
    return all(_COMPARISONS[name](created, limit) for name, limit in limits.items() if limit is not None)
