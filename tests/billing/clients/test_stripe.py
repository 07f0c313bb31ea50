"""The fake and the real client make and keep the same promises, the latter against the development double."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import stripe as library

from billing.clients.stripe import CardRefused, Stripe, StripeFailed, StripeRefused, StripeUnavailable
from billing.clients.stripe_gateway import StripeGateway
from billing.clients.stripe_webhook import is_signed
from common.ids import new_id
from tests.billing.factories import CONSUMER, PROVIDER
from tests.devstack.programs import Program, running
from tests.support.fake_stripe import DECLINED, FakeStripe

# The library hands httpx its bytes in an old way; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
PATHS = {
    "create_customer": "POST /v1/customers",
    "create_invoice": "POST /v1/invoices",
    "add_item": "POST /v1/invoiceitems",
    "finalize_invoice": "POST /v1/invoices/*/finalize",
    "pay_invoice": "POST /v1/invoices/*/pay",
    "create_transfer": "POST /v1/transfers",
}
MODES = {"before": "before", "after": "after", "during": "500_after"}


@dataclass
class Rig:
    """Stripe, and how its failures and its onboarding are brought about."""

    stripe: Stripe
    fail: Callable[[str, str], None]
    onboard: Callable[[str], None]


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running("devstack.stripe", Path(tmp_path_factory.mktemp("stripe"))) as program:
        yield program


@pytest.fixture(params=["fake", "double"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        fake = FakeStripe()
        yield Rig(fake, fake.fail, fake.onboard)  # type: ignore[arg-type]
        return
    program: Program = request.getfixturevalue("double")

    def fail(operation: str, when: str) -> None:
        # The library tries three times by itself: all of them are to fail.
        fault = {"match": PATHS[operation], "mode": MODES[when], "times": 3}
        httpx.post(f"{program.url}/__faults", json=fault).raise_for_status()

    def onboard(account_id: str) -> None:
        httpx.post(f"{program.url}/__accounts/{account_id}/complete", json={}).raise_for_status()

    gateway = StripeGateway("sk_test_contract", api_base=program.url)
    yield Rig(gateway, fail, onboard)
    await gateway.close()
    httpx.delete(f"{program.url}/__faults").raise_for_status()


async def a_customer(stripe: Stripe, method: str | None = "pm_card_visa") -> str:
    customer_id = await stripe.create_customer(
        organisation_id=CONSUMER, name="Acme", email="books@acme.test", key=str(new_id())
    )
    if method:
        await stripe.attach_payment_method(customer_id, method, key=str(new_id()))
    return customer_id


async def an_open_invoice(stripe: Stripe, customer_id: str, *amounts: int) -> str:
    draft = await stripe.create_invoice(
        customer_id=customer_id, currency="EUR", invoice_id=new_id(), number="MP-000001", key=str(new_id())
    )
    for amount in amounts:
        await stripe.add_item(
            customer_id=customer_id, stripe_invoice_id=draft.id, line_id=new_id(), currency="EUR", amount=amount,
            description="a line", key=str(new_id()),
        )  # fmt: skip
    return (await stripe.finalize_invoice(draft.id, key=str(new_id()))).id


async def test_an_invoice_is_drafted_filled_finalized_and_paid(rig: Rig) -> None:
    stripe, ours, line = rig.stripe, new_id(), new_id()
    customer_id = await a_customer(stripe)
    draft = await stripe.create_invoice(
        customer_id=customer_id, currency="EUR", invoice_id=ours, number="MP-000001", key=str(new_id())
    )
    assert (draft.status, draft.total, draft.invoice_id) == ("draft", 0, ours)
    for line_id, amount in ((line, 2025), (new_id(), -25)):
        await stripe.add_item(
            customer_id=customer_id, stripe_invoice_id=draft.id, line_id=line_id, currency="EUR", amount=amount,
            description="a line", key=str(new_id()),
        )  # fmt: skip
    items = await stripe.list_items(draft.id)
    assert sorted(item.amount for item in items) == [-25, 2025]
    assert line in [item.line_id for item in items]
    final = await stripe.finalize_invoice(draft.id, key=str(new_id()))
    assert (final.status, final.total, final.amount_paid) == ("open", 2000, 0)
    paid = await stripe.pay_invoice(draft.id, key=str(new_id()))
    assert (paid.status, paid.amount_paid) == ("paid", 2000)
    assert paid.paid_at is not None
    assert await stripe.get_invoice(draft.id) == paid
    assert await stripe.find_invoice(customer_id, ours) == paid
    assert paid in await stripe.list_invoices()


async def test_the_same_key_has_one_effect(rig: Rig) -> None:
    customer_id, ours, key = await a_customer(rig.stripe), new_id(), str(new_id())
    made = [
        await rig.stripe.create_invoice(
            customer_id=customer_id, currency="EUR", invoice_id=ours, number="MP-1", key=key
        )
        for _ in range(2)
    ]
    assert made[0].id == made[1].id


@pytest.mark.parametrize("when", ["before", "after", "during"])
async def test_a_failed_charge_says_that_its_outcome_is_not_known(rig: Rig, when: str) -> None:
    stripe_id = await an_open_invoice(rig.stripe, await a_customer(rig.stripe), 500)
    rig.fail("pay_invoice", when)
    key = str(new_id())
    with pytest.raises(StripeFailed if when == "during" else StripeUnavailable):
        await rig.stripe.pay_invoice(stripe_id, key=key)
    status = (await rig.stripe.get_invoice(stripe_id)).status
    assert status == ("open" if when == "before" else "paid")
    if when == "during":  # repeated under this key, although the effect is there
        with pytest.raises(StripeFailed):
            await rig.stripe.pay_invoice(stripe_id, key=key)
    else:
        assert (await rig.stripe.pay_invoice(stripe_id, key=key)).status == "paid"


async def test_a_declined_card_is_told_from_other_refusals(rig: Rig) -> None:
    declined = await an_open_invoice(rig.stripe, await a_customer(rig.stripe, DECLINED), 500)
    with pytest.raises(CardRefused) as card:
        await rig.stripe.pay_invoice(declined, key=str(new_id()))
    assert card.value.reason == "card_declined"
    assert card.value.decline_code == "generic_decline"
    without = await an_open_invoice(rig.stripe, await a_customer(rig.stripe, None), 500)
    with pytest.raises(StripeRefused) as other:
        await rig.stripe.pay_invoice(without, key=str(new_id()))
    assert not isinstance(other.value, CardRefused)


async def test_a_paid_invoice_is_not_paid_again(rig: Rig) -> None:
    stripe_id = await an_open_invoice(rig.stripe, await a_customer(rig.stripe), 500)
    await rig.stripe.pay_invoice(stripe_id, key=str(new_id()))
    with pytest.raises(StripeRefused):
        await rig.stripe.pay_invoice(stripe_id, key=str(new_id()))


async def test_what_does_not_exist_is_refused(rig: Rig) -> None:
    with pytest.raises(StripeRefused):
        await rig.stripe.get_invoice("in_nothing")
    with pytest.raises(StripeRefused):
        await rig.stripe.attach_payment_method(
            await a_customer(rig.stripe, None), "pm_unknown", key=str(new_id())
        )


async def test_a_provider_is_onboarded_and_paid(rig: Rig) -> None:
    stripe, payout = rig.stripe, new_id()
    account = await stripe.create_connect_account(organisation_id=PROVIDER, country="DE", key=str(new_id()))
    assert not account.payouts_enabled
    assert account.requirements
    link = await stripe.create_onboarding_link(
        account.id, return_url="https://market.test/", refresh_url="https://market.test/"
    )
    assert link.url.startswith("http")
    rig.onboard(account.id)
    assert (await stripe.get_connect_account(account.id)).payouts_enabled
    sent = await stripe.create_transfer(
        account_id=account.id, payout_id=payout, currency="EUR", amount=300, key=str(new_id())
    )
    assert (sent.amount, sent.currency, sent.payout_id) == (300, "EUR", payout)
    assert await stripe.find_transfer(payout) == sent
    assert await stripe.find_transfer(new_id()) is None
    assert sent in await stripe.list_transfers()


async def test_nobody_there_is_unavailable() -> None:
    nobody = StripeGateway("sk_test_contract", api_base="http://127.0.0.1:9", timeout_seconds=1)
    with pytest.raises(StripeUnavailable):
        await nobody.get_invoice("in_1")


def signed(body: str, *, secret: str = "whsec_ours", age: int = 0) -> str:
    then = int(time.time()) - age
    return str(library.WebhookSignature.generate_signature_header(body, secret, timestamp=then))


def test_a_webhook_counts_when_stripe_signed_these_bytes_within_five_minutes() -> None:
    body = json.dumps({"id": "evt_1"})
    assert is_signed(body.encode(), signed(body), secret="whsec_ours")
    assert is_signed(body.encode(), signed(body, age=290), secret="whsec_ours")
    for header in (
        signed(body, age=310),
        signed(body, secret="whsec_other"),
        signed(body + " "),
        "t=1",
        "",
        None,
    ):
        assert not is_signed(body.encode(), header, secret="whsec_ours")
    assert not is_signed(b"\xff\xfe", signed(body), secret="whsec_ours")
