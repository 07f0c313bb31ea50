"""Which status an API may move to, and by whom: the one transition table of the catalogue."""

from enum import StrEnum

from catalog.domain.errors import ApiIsFrozen, InvalidTransition, NothingToPublish


class ApiStatus(StrEnum):
    """Where an API stands between its first draft and its retirement."""

    DRAFT = "draft"
    PENDING_REVIEW = "pending_review"
    REJECTED = "rejected"
    PUBLISHED = "published"
    DEPRECATED = "deprecated"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class Action(StrEnum):
    """What a provider may ask for; the words are the last part of the URL."""

    SUBMIT = "submit"
    PUBLISH = "publish"
    UNPUBLISH = "unpublish"
    DEPRECATE = "deprecate"
    RETIRE = "retire"


class AdminAction(StrEnum):
    """What only an operator of the marketplace may do."""

    APPROVE = "approve"
    REJECT = "reject"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"


_S, _A, _M = ApiStatus, Action, AdminAction

TRANSITIONS: dict[tuple[ApiStatus, Action | AdminAction], ApiStatus] = {
    (_S.DRAFT, _A.SUBMIT): _S.PENDING_REVIEW,
    (_S.DRAFT, _A.PUBLISH): _S.PUBLISHED,
    (_S.PENDING_REVIEW, _A.SUBMIT): _S.PENDING_REVIEW,
    (_S.PENDING_REVIEW, _A.PUBLISH): _S.PUBLISHED,
    (_S.PENDING_REVIEW, _A.UNPUBLISH): _S.DRAFT,
    (_S.PENDING_REVIEW, _M.APPROVE): _S.PUBLISHED,
    (_S.PENDING_REVIEW, _M.REJECT): _S.REJECTED,
    (_S.REJECTED, _A.SUBMIT): _S.PENDING_REVIEW,
    (_S.REJECTED, _A.PUBLISH): _S.PUBLISHED,
    (_S.REJECTED, _A.UNPUBLISH): _S.DRAFT,
    (_S.PUBLISHED, _A.PUBLISH): _S.PUBLISHED,
    (_S.PUBLISHED, _A.UNPUBLISH): _S.DRAFT,
    (_S.PUBLISHED, _A.DEPRECATE): _S.DEPRECATED,
    (_S.PUBLISHED, _M.APPROVE): _S.PUBLISHED,
    (_S.PUBLISHED, _M.SUSPEND): _S.SUSPENDED,
    (_S.DEPRECATED, _A.PUBLISH): _S.PUBLISHED,
    (_S.DEPRECATED, _A.DEPRECATE): _S.DEPRECATED,
    (_S.DEPRECATED, _A.RETIRE): _S.RETIRED,
    (_S.DEPRECATED, _M.SUSPEND): _S.SUSPENDED,
    (_S.SUSPENDED, _M.SUSPEND): _S.SUSPENDED,
    (_S.SUSPENDED, _M.REINSTATE): _S.PUBLISHED,
    (_S.RETIRED, _A.RETIRE): _S.RETIRED,
}
"""Repeating what is already so changes nothing: a client may retry after a lost answer."""

VISIBLE = frozenset({ApiStatus.PUBLISHED, ApiStatus.DEPRECATED})
"""Statuses in which everybody may see an API and its subscribers may call it."""

FROZEN = frozenset({ApiStatus.SUSPENDED, ApiStatus.RETIRED})
"""Statuses in which a provider's edits are refused."""


def next_status(
    status: ApiStatus, action: Action | AdminAction, *, versions: int, moderated: bool
) -> ApiStatus:
    """The status after `action`. With moderation on, what was not public a moment ago is reviewed first."""
    target = TRANSITIONS.get((status, action))
    if target is None:
        raise InvalidTransition(status, action, allowed_actions(status))
    if target in {ApiStatus.PUBLISHED, ApiStatus.PENDING_REVIEW} and versions == 0:
        raise NothingToPublish
    if moderated and action is Action.PUBLISH and status not in VISIBLE:
        return ApiStatus.PENDING_REVIEW
    return target


def allowed_actions(status: ApiStatus) -> list[str]:
    """What the provider may ask for from `status`, without the repetitions that change nothing."""
    return [
        str(action)
        for (before, action), after in TRANSITIONS.items()
        if before is status and isinstance(action, Action) and after is not status
    ]


def refuse_when_frozen(status: ApiStatus) -> None:
    """Edits of an API that is suspended or retired are refused."""
    if status in FROZEN:
        raise ApiIsFrozen(status)
