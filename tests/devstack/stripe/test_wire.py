"""The wire rules that a client's error handling stands on."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
import stripe

from tests.devstack.programs import Program
from tests.devstack.stripe.factories import a_customer, an_invoice

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

KEY = {"Authorization": "Bearer sk_test_x"}


@pytest.fixture
def raw(shared: Program) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url, headers=KEY) as client:
        yield client


def test_a_key_must_be_a_test_key(shared: Program) -> None:
    url = f"{shared.url}/v1/customers"
    assert httpx.get(url).status_code == 401
    refused = httpx.get(url, headers={"Authorization": "Bearer sk_live_secret1234"})
    assert refused.status_code == 401
    assert "secret1234" not in refused.text
    assert httpx.get(url, auth=("sk_test_x", "")).status_code == 200


@pytest.mark.parametrize(
    ("path", "form", "status", "code", "param"),
    [
        ("/v1/invoices", {}, 400, "parameter_missing", "customer"),
        ("/v1/invoices", {"customer": ""}, 400, "parameter_invalid_empty", "customer"),
        ("/v1/invoices", {"customer": "cus_none"}, 400, "resource_missing", "customer"),
        ("/v1/invoices/in_none/pay", {}, 404, "resource_missing", "id"),
        ("/v1/customers", {"colour": "red"}, 400, "parameter_unknown", "colour"),
        (
            "/v1/payment_intents",
            {"amount": "ten", "currency": "eur"},
            400,
            "parameter_invalid_integer",
            "amount",
        ),
        ("/v1/payment_intents", {"amount": "10", "currency": "eur"}, 400, "amount_too_small", "amount"),
        ("/v1/transfers", {"amount": "1", "currency": "eur"}, 400, "parameter_missing", "destination"),
        ("/v1/account_links", {"account": "acct_none"}, 400, "resource_missing", "account"),
        ("/v1/nothing", {}, 404, None, None),
    ],
)
def test_a_wrong_request_gets_stripes_error(
    raw: httpx.Client, path: str, form: dict[str, str], status: int, code: str | None, param: str | None
) -> None:
    answer = raw.post(path, data=form)
    error = answer.json()["error"]
    assert (answer.status_code, error.get("code"), error.get("param")) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert answer.headers["request-id"].startswith("req_")


def test_the_api_version_is_answered_as_asked(raw: httpx.Client) -> None:
    assert raw.get("/v1/balance").headers["stripe-version"] == stripe.api_version
    pinned = raw.get("/v1/balance", headers={"Stripe-Version": "2025-03-31.basil"})
    assert pinned.headers["stripe-version"] == "2025-03-31.basil"


def test_an_unknown_connected_account_is_refused(raw: httpx.Client) -> None:
    answer = raw.get("/v1/balance", headers={"Stripe-Account": "acct_none"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "account_invalid")


async def test_what_a_connected_account_has_is_not_the_platforms(
    api: stripe.StripeClient, shared: Program
) -> None:
    account = await api.v1.accounts.create_async({"type": "express"})
    theirs = await api.v1.customers.create_async({"name": "Theirs"}, {"stripe_account": account.id})
    with pytest.raises(stripe.InvalidRequestError):
        await api.v1.customers.retrieve_async(theirs.id)
    found = await api.v1.customers.retrieve_async(theirs.id, options={"stripe_account": account.id})
    assert found.name == "Theirs"


async def test_lists_are_paged_newest_first_in_both_directions(client: stripe.StripeClient) -> None:
    made = [(await client.v1.customers.create_async({"email": f"{n}@x.example"})).id for n in range(5)]
    first = await client.v1.customers.list_async({"limit": 2})
    assert [found.id for found in first.data] == [made[4], made[3]]
    assert (first.has_more, first.url) == (True, "/v1/customers")
    second = await client.v1.customers.list_async({"limit": 2, "starting_after": made[3]})
    assert [found.id for found in second.data] == [made[2], made[1]]
    back = await client.v1.customers.list_async({"limit": 2, "ending_before": made[1]})
    assert [found.id for found in back.data] == [made[3], made[2]]
    everything = [found.id async for found in first.auto_paging_iter()]
    assert everything == made[::-1]
    filtered = await client.v1.customers.list_async({"email": "3@x.example"})
    assert [found.id for found in filtered.data] == [made[3]]
    assert (await client.v1.customers.list_async({"created": {"gt": 4_000_000_000}})).data == []
    for limit in (0, 101):
        with pytest.raises(stripe.InvalidRequestError):
            await client.v1.customers.list_async({"limit": limit})


async def test_metadata_is_merged_and_unset_by_empty_values(api: stripe.StripeClient) -> None:
    customer = await api.v1.customers.create_async({"metadata": {"a": "1", "b": "2"}})
    updated = await api.v1.customers.update_async(customer.id, {"metadata": {"a": "", "c": "3"}})
    assert updated.metadata is not None
    assert updated.metadata.to_dict() == {"b": "2", "c": "3"}
    cleared = await api.v1.customers.update_async(customer.id, {"metadata": ""})
    assert cleared.metadata is not None
    assert cleared.metadata.to_dict() == {}
    with pytest.raises(stripe.InvalidRequestError):
        await api.v1.customers.update_async(customer.id, {"metadata": {"k" * 41: "v"}})


async def test_expansion_replaces_ids_by_objects(api: stripe.StripeClient) -> None:
    customer = await a_customer(api)
    invoice = await an_invoice(api, customer, 1000)
    assert invoice.id
    expanded = await api.v1.invoices.retrieve_async(invoice.id, {"expand": ["customer", "payments"]})
    assert isinstance(expanded.customer, stripe.Customer)
    assert expanded.payments
    listed = await api.v1.invoices.list_async({"customer": customer, "expand": ["data.customer"]})
    assert isinstance(listed.data[0].customer, stripe.Customer)
    for path in ("nothing", "total", "customer.name"):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            await api.v1.invoices.retrieve_async(invoice.id, {"expand": [path]})


async def test_search_finds_by_metadata(api: stripe.StripeClient) -> None:
    customer = await a_customer(api)
    params: stripe.params.InvoiceCreateParams = {"customer": customer, "metadata": {"our_invoice": "i-17"}}
    made = await api.v1.invoices.create_async(params)
    query = "metadata['our_invoice']:'i-17' AND status:'draft'"
    found = await api.v1.invoices.search_async({"query": query})
    assert [invoice.id for invoice in found.data] == [made.id]
    assert (await api.v1.invoices.search_async({"query": "metadata['our_invoice']:'i-18'"})).data == []
    with pytest.raises(stripe.InvalidRequestError):
        await api.v1.invoices.search_async({"query": "total>5"})


async def test_events_can_be_read_back(client: stripe.StripeClient) -> None:
    customer = await client.v1.customers.create_async({"name": "Before"})
    await client.v1.customers.update_async(customer.id, {"name": "After"})
    events = await client.v1.events.list_async({"type": "customer.updated"})
    event = await client.v1.events.retrieve_async(events.data[0].id)
    assert event.data.object["name"] == "After"
    assert event.data.previous_attributes
    assert event.data.previous_attributes["name"] == "Before"
    both = await client.v1.events.list_async({"types": ["customer.updated", "customer.created"]})
    assert len(both.data) == 2


async def test_the_same_key_and_parameters_get_the_same_answer(
    api: stripe.StripeClient, raw: httpx.Client
) -> None:
    first = raw.post("/v1/customers", data={"name": "A"}, headers={"Idempotency-Key": "wire-1"})
    again = raw.post("/v1/customers", data={"name": "A"}, headers={"Idempotency-Key": "wire-1"})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"] != again.headers["request-id"]
    assert "idempotent-replayed" not in first.headers
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        await api.v1.customers.create_async({"name": "B"}, {"idempotency_key": "wire-1"})
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await api.v1.accounts.create_async({}, {"idempotency_key": "wire-1"})


async def test_a_key_belongs_to_its_account(api: stripe.StripeClient) -> None:
    account = await api.v1.accounts.create_async({"type": "express"})
    ours = await api.v1.customers.create_async({}, {"idempotency_key": "wire-2"})
    theirs = await api.v1.customers.create_async(
        {}, {"idempotency_key": "wire-2", "stripe_account": account.id}
    )
    assert ours.id != theirs.id


async def test_a_refused_parameter_does_not_use_the_key_up(api: stripe.StripeClient) -> None:
    customer = await a_customer(api)
    with pytest.raises(stripe.InvalidRequestError):
        await api.v1.invoices.create_async({"customer": "cus_none"}, {"idempotency_key": "wire-3"})
    made = await api.v1.invoices.create_async({"customer": customer}, {"idempotency_key": "wire-3"})
    assert made.status == "draft"


async def test_a_declined_card_is_declined_again_under_the_same_key(api: stripe.StripeClient) -> None:
    customer = await a_customer(api, "pm_card_chargeCustomerFail")
    invoice = await an_invoice(api, customer, 1000)
    assert invoice.id
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            await api.v1.invoices.pay_async(invoice.id, {}, {"idempotency_key": "wire-4"})
    assert (await api.v1.invoices.retrieve_async(invoice.id)).attempt_count == 1


async def test_a_second_request_under_a_key_at_work_is_told_to_wait(
    client: stripe.StripeClient, control: httpx.Client
) -> None:
    control.post("/__faults", json={"match": "POST /v1/customers", "mode": "hang", "seconds": 1.5})
    first = asyncio.create_task(client.v1.customers.create_async({"name": "A"}, {"idempotency_key": "k"}))
    await asyncio.sleep(0.5)
    with pytest.raises(stripe.StripeError) as caught:
        await client.v1.customers.create_async({"name": "A"}, {"idempotency_key": "k"})
    assert caught.value.http_status == 409
    assert caught.value.error
    assert caught.value.error.code == "idempotency_key_in_use"
    done = await first
    assert (await client.v1.customers.create_async({"name": "A"}, {"idempotency_key": "k"})).id == done.id
