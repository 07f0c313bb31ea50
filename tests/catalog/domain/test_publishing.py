import itertools

import pytest

from catalog.domain.errors import ApiIsFrozen, InvalidTransition, NothingToPublish
from catalog.domain.publishing import (
    FROZEN,
    TRANSITIONS,
    VISIBLE,
    Action,
    AdminAction,
    ApiStatus,
    allowed_actions,
    next_status,
    refuse_when_frozen,
)

EVERY_ACTION = [*Action, *AdminAction]


def test_publishing_without_moderation_is_immediate() -> None:
    assert next_status(ApiStatus.DRAFT, Action.PUBLISH, versions=1, moderated=False) is ApiStatus.PUBLISHED


def test_publishing_with_moderation_waits_for_a_review() -> None:
    for status in (ApiStatus.DRAFT, ApiStatus.REJECTED, ApiStatus.PENDING_REVIEW):
        assert next_status(status, Action.PUBLISH, versions=1, moderated=True) is ApiStatus.PENDING_REVIEW


def test_taking_a_deprecation_back_needs_no_review() -> None:
    after = next_status(ApiStatus.DEPRECATED, Action.PUBLISH, versions=1, moderated=True)
    assert after is ApiStatus.PUBLISHED


def test_unpublishing_and_publishing_again_is_reviewed_again() -> None:
    draft = next_status(ApiStatus.PUBLISHED, Action.UNPUBLISH, versions=1, moderated=True)
    assert next_status(draft, Action.PUBLISH, versions=1, moderated=True) is ApiStatus.PENDING_REVIEW


@pytest.mark.parametrize("action", [Action.SUBMIT, Action.PUBLISH])
def test_an_api_without_a_version_is_not_published(action: Action) -> None:
    with pytest.raises(NothingToPublish):
        next_status(ApiStatus.DRAFT, action, versions=0, moderated=False)


def test_a_life_from_draft_to_retirement() -> None:
    status = ApiStatus.DRAFT
    for action in (
        Action.SUBMIT, AdminAction.APPROVE, AdminAction.SUSPEND, AdminAction.REINSTATE, Action.DEPRECATE,
        Action.RETIRE,
    ):  # fmt: skip
        status = next_status(status, action, versions=1, moderated=True)
    assert status is ApiStatus.RETIRED


def test_only_the_transitions_of_the_table_are_possible() -> None:
    for status, action in itertools.product(ApiStatus, EVERY_ACTION):
        if (status, action) in TRANSITIONS:
            next_status(status, action, versions=1, moderated=False)
        else:
            with pytest.raises(InvalidTransition):
                next_status(status, action, versions=1, moderated=False)


def test_a_provider_cannot_undo_what_an_operator_decided() -> None:
    for action in Action:
        with pytest.raises(InvalidTransition):
            next_status(ApiStatus.SUSPENDED, action, versions=1, moderated=False)


def test_nothing_leaves_retirement() -> None:
    assert {after for (before, _), after in TRANSITIONS.items() if before is ApiStatus.RETIRED} == {
        ApiStatus.RETIRED
    }


def test_every_status_can_be_reached_from_a_draft() -> None:
    reached, grown = {ApiStatus.DRAFT}, True
    while grown:
        more = {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached
        reached, grown = reached | more, bool(more)
    assert reached == set(ApiStatus)


def test_the_refusal_names_what_is_possible() -> None:
    with pytest.raises(InvalidTransition, match="submit, publish"):
        next_status(ApiStatus.DRAFT, Action.RETIRE, versions=1, moderated=False)
    assert allowed_actions(ApiStatus.PUBLISHED) == ["unpublish", "deprecate"]
    assert allowed_actions(ApiStatus.RETIRED) == []


def test_suspended_and_retired_apis_are_not_edited() -> None:
    for status in ApiStatus:
        if status in FROZEN:
            with pytest.raises(ApiIsFrozen):
                refuse_when_frozen(status)
        else:
            refuse_when_frozen(status)


def test_subscribers_may_call_published_and_deprecated_apis() -> None:
    assert {"published", "deprecated"} == VISIBLE
