"""The situations in which subscriptions say no, each with the code that clients match on."""

from collections.abc import Iterable
from uuid import UUID

from common.errors import Conflict, Invalid, NotFound, PaymentRequired


class PlanNotFound(NotFound):
    """No plan of this id is on sale, as far as this service has heard."""

    code = "PLAN_NOT_FOUND"

    def __init__(self, plan_id: UUID) -> None:
        super().__init__(
            "No published API sells this plan. A plan or API published a moment ago may take a second to arrive"
            " here: if you just did that, try again.",
            plan_id=str(plan_id),
        )


class ApiDeprecated(Conflict):
    """The API goes on for its subscribers and takes no new ones."""

    code = "API_DEPRECATED"

    def __init__(self, api_id: UUID) -> None:
        super().__init__("This API is deprecated and takes no new subscriptions.", api_id=str(api_id))


class AlreadySubscribed(Conflict):
    """The organisation has a live subscription to this API."""

    code = "ALREADY_SUBSCRIBED"

    def __init__(self, api_id: UUID) -> None:
        super().__init__(
            "Your organisation already has a live subscription to this API: use it, or cancel it first.",
            api_id=str(api_id),
        )


class SubscriptionNotFound(NotFound):
    """The subscription does not exist, or belongs to others."""

    code = "SUBSCRIPTION_NOT_FOUND"

    def __init__(self, subscription_id: UUID) -> None:
        super().__init__("There is no such subscription.", subscription_id=str(subscription_id))


class InvalidTransition(Conflict):
    """The subscription's status does not allow this action."""

    code = "INVALID_TRANSITION"

    def __init__(self, status: str, action: str) -> None:
        super().__init__(f"A subscription that is {status} cannot be changed by {action}.", status_now=status)


class PaymentPastDue(PaymentRequired):
    """An invoice of the organisation is overdue; paying it lifts this by itself."""

    code = "PAYMENT_PAST_DUE"

    def __init__(self) -> None:
        super().__init__(
            "Your organisation has an overdue invoice: pay it, and subscriptions go on by themselves."
        )


class SubscriptionNotLive(Conflict):
    """Keys are made for subscriptions that are approved and not over."""

    code = "SUBSCRIPTION_NOT_LIVE"

    def __init__(self, status: str) -> None:
        super().__init__(
            f"The subscription is {status}; keys can be made once it is active and until it ends.",
            status_now=status,
        )


class KeyNotFound(NotFound):
    """The key does not exist, or belongs to others."""

    code = "KEY_NOT_FOUND"

    def __init__(self, key_id: UUID) -> None:
        super().__init__("There is no such key.", key_id=str(key_id))


class KeyNotActive(Conflict):
    """Only an active key is rotated."""

    code = "KEY_NOT_ACTIVE"

    def __init__(self, status: str) -> None:
        super().__init__(f"This key is {status}; make a new one instead of rotating it.", status_now=status)


class TooManyKeys(Conflict):
    """The subscription has as many usable keys as it may."""

    code = "TOO_MANY_KEYS"

    def __init__(self, most: int) -> None:
        super().__init__(f"A subscription has at most {most} usable keys: revoke one first.", most=most)


class BadShare(Invalid):
    """A key's own limits do not fit into those of its subscription."""

    code = "BAD_KEY_LIMITS"

    def __init__(self, detail: str, field: str) -> None:
        super().__init__(detail, field=field)


class UnknownScope(Invalid):
    """No version of the API asks for such a scope."""

    code = "UNKNOWN_SCOPE"

    def __init__(self, unknown: Iterable[str], known: Iterable[str]) -> None:
        names, known = ", ".join(sorted(unknown)), sorted(known)
        there = f"It knows {', '.join(known)}." if known else "It knows none."
        super().__init__(
            f"The API does not know the scope {names}. {there}", field="scopes", known_scopes=known
        )


class BadExpiry(Invalid):
    """The expiry lies where it would mean nothing."""

    code = "BAD_EXPIRY"

    def __init__(self, reason: str, *, field: str) -> None:
        super().__init__(reason, field=field)
