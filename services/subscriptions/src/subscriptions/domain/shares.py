"""Restricted keys: a key may have a share of the calls that its subscription allows, and no more.

The gateway counts the calls of such a key by themselves, and those of a key that is restricted to scopes as well. The
shares and what is left for the other keys never add up to more than the subscription's limit: whoever makes many keys
gains nothing by it.
"""

from collections.abc import Iterable, Mapping

from subscriptions.domain.api_key import USABLE, ApiKey, Mode
from subscriptions.domain.errors import BadShare
from subscriptions.domain.subscription import Subscription

Limits = Mapping[str, int | None]


def allowed_by(subscription: Subscription) -> dict[str, int]:
    """The limits of the subscription's last terms, with its override over them; only windows that have one."""
    sold: Limits = subscription.terms.get("rate_limits") or {}
    override = subscription.limits_override or {}
    found = {window: override.get(window) or limit for window, limit in {**sold, **override}.items()}
    return {window: limit for window, limit in found.items() if limit}


def check_share(
    share: Limits | None, *, mode: Mode, allowed: Mapping[str, int], keys: Iterable[ApiKey]
) -> None:
    """`share` can be given out beside those of `keys`, and leaves something. Raises BadShare.

    A share that names no limits is an equal part of what the others leave: as many calls as the keys without a share
    have together.
    """
    if mode is Mode.TEST and share is None:
        return  # never billed: their one limit is divided as it comes
    if mode is Mode.TEST:
        raise BadShare(
            "Test keys have one small limit together; a share of it cannot be given to one.", "rate_limits"
        )
    taken = {key.share_id: key.rate_limits or {} for key in keys if key.status in USABLE and key.share_id}
    parts = 1 + sum(not limits for limits in taken.values()) + (share is None)
    for window, limit in allowed.items():
        asked = 0 if share is None else share.get(window)
        if asked is None:
            raise BadShare(
                f"The subscription is limited by {window}: say how many of its {limit} calls are this key's.",
                f"rate_limits.{window}",
            )
        left = limit - sum(other.get(window) or 0 for other in taken.values())
        if asked <= left - parts:
            continue
        said = f"Of the subscription's {limit} calls a {window}, {left} are not given to other keys"
        if share is None:
            cure = f"too few for {parts} equal parts: no further key can be restricted to scopes."
        else:
            cure = f"and {parts} at least must stay for those without limits: ask for at most {max(left - parts, 0)}."
        raise BadShare(f"{said}, {cure}", f"rate_limits.{window}")
