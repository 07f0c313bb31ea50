"""What may be wrong with a question to kong-sync."""

from __future__ import annotations

from common.errors import Conflict, Invalid, NotFound


class ApiUnknown(NotFound):
    """No API of this id was told to us, or not to this caller."""

    code = "API_NOT_FOUND"


class PlanUnknown(NotFound):
    """No plan of this id is in the history, or it is too old to be kept."""

    code = "PLAN_NOT_FOUND"


class AddressInvalid(Invalid):
    """What should be blocked is no address and no network, or too wide a one."""

    code = "ADDRESS_INVALID"


class AddressBlocked(Conflict):
    """It is blocked already."""

    code = "ADDRESS_BLOCKED"


class AddressUnknown(NotFound):
    """It is not blocked."""

    code = "ADDRESS_NOT_FOUND"


class TooManyAddresses(Conflict):
    """The gateway would have to look through more than it should for each call."""

    code = "TOO_MANY_ADDRESSES"


class ReconcileBusy(Conflict):
    """Another process is making a pass and did not end it in time."""

    code = "RECONCILE_BUSY"


class AdoptionChanged(Conflict):
    """What is in our way is not what the operator has seen and confirmed."""

    code = "ADOPTION_CHANGED"


class FrontDoorInvalid(Exception):
    """gateway/kong.yml cannot be applied: the message says why."""


class OwnerFailed(Exception):
    """An owner of our copies did not take the word to publish again: the message says why."""
