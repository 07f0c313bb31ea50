"""How far the gateway is with an API or a subscription."""

from __future__ import annotations

from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.progress import Progress, State, Wish, after_apply, before_apply, unreachable, wishes
from tests.kong_sync.factories import a_subscription, a_version, an_api, some_tables, wanted

WISH = Wish(fingerprint="f1", wanted=True, organisation_id="o", proxy_url="http://p/acme/pay/v1")
LIVE = Progress(State.LIVE, None, "f1", WISH.proxy_url)


def test_a_new_wish_is_pending_until_it_was_written() -> None:
    assert before_apply(WISH, None).state is State.PENDING
    assert before_apply(Wish("f2", wanted=True, organisation_id="o"), LIVE).state is State.PENDING
    assert before_apply(WISH, LIVE) is LIVE


def test_what_nobody_wants_in_the_gateway_is_not_provisioned() -> None:
    draft = Wish("f0", wanted=False, organisation_id="o")
    assert before_apply(draft, None).state is State.NOT_PROVISIONED
    assert after_apply(draft, None, failure=None, complete=True, seen=True).state is State.NOT_PROVISIONED


def test_a_gateway_switched_on_again_begins_anew() -> None:
    off = Progress(State.NOT_PROVISIONED, "off", "f1")
    assert before_apply(WISH, off).state is State.PENDING


def test_live_means_seen() -> None:
    assert after_apply(WISH, None, failure=None, complete=True, seen=True) == LIVE
    assert after_apply(WISH, None, failure=None, complete=True, seen=False).state is State.APPLIED
    assert after_apply(WISH, None, failure=None, complete=False, seen=True).state is State.PENDING


def test_what_was_live_stays_live_while_the_canary_of_others_is_awaited() -> None:
    assert after_apply(WISH, LIVE, failure=None, complete=True, seen=False) == LIVE


def test_a_refusal_is_told_with_its_reason() -> None:
    told = after_apply(WISH, LIVE, failure="The gateway refused it.", complete=False, seen=True)
    assert (told.state, told.reason) == (State.FAILED, "The gateway refused it.")


def test_with_the_admin_api_away_live_things_stay_live_and_new_ones_say_why() -> None:
    assert unreachable(WISH, LIVE) is LIVE
    assert unreachable(WISH, None).reason == "The gateway's Admin API does not answer."


def test_an_api_tells_its_address_and_what_it_waits_for() -> None:
    api = Owner(Concern.API, an_api().id)
    tables = some_tables()
    wish = wishes(tables, wanted(tables), public_proxy_url="https://m.example/")[api]
    assert wish.proxy_url == "https://m.example/acme/pay/v1"
    bare = some_tables(versions=[])
    waiting = wishes(bare, wanted(bare), public_proxy_url="https://m.example")[api]
    assert (waiting.waiting_for, waiting.proxy_url) == ("No version of this API can be served yet.", None)


def test_another_version_or_a_stop_is_a_new_wish() -> None:
    tables = some_tables()
    before = wishes(tables, wanted(tables), public_proxy_url="http://p")
    other = some_tables(versions=[a_version(name="v2")], subscriptions=[a_subscription(status="paused")])
    after = wishes(other, wanted(other), public_proxy_url="http://p")
    assert all(before[owner].fingerprint != after[owner].fingerprint for owner in before)
