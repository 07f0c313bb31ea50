"""/v1/accounts, /v1/account_links and login links: Connect, express accounts."""

from devstack.stripe.call import PLATFORM, PLATFORM_ACCOUNT_ID, Call, new_id
from devstack.stripe.errors import ApiError, resource_missing, state_error
from devstack.stripe.events import emit
from devstack.stripe.forms import Params
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json

_LINK_SECONDS = 300
_FIELDS = (
    "email metadata capabilities business_type business_profile settings company individual tos_acceptance"
)
_TO_DO = ["business_profile.url", "external_account", "tos_acceptance.date", "tos_acceptance.ip"]
_TYPES = ("express", "standard", "custom")


@endpoint("POST", "/v1/accounts", f"type country default_currency controller {_FIELDS}")
def create(call: Call) -> Json:
    params = call.params
    body = call.create(
        "acct",
        "account",
        {
            "business_profile": {"mcc": None, "name": None, "product_description": None, "url": None},
            "business_type": None,
            "capabilities": {},
            "charges_enabled": False,
            "country": (params.text("country") or "DE").upper(),
            "default_currency": params.currency("default_currency") or "eur",
            "details_submitted": False,
            "email": None,
            "external_accounts": {"object": "list", "data": [], "has_more": False, "url": "/v1/accounts"},
            "future_requirements": _requirements([], None),
            "metadata": {},
            "payouts_enabled": False,
            "requirements": _requirements(_TO_DO, "requirements.past_due"),
            "settings": {"payouts": {"debit_negative_balances": True, "schedule": {"interval": "daily"}}},
            "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
            "type": params.one_of("type", _TYPES, "express"),
        },
    )
    return _changed(call, body)


@endpoint("GET", "/v1/accounts/{id}")
def retrieve(call: Call) -> Json:
    return call.get("account", call.path[0])


@endpoint("GET", "/v1/account")
def retrieve_own(call: Call) -> Json:
    if call.account == PLATFORM:
        return {
            "id": PLATFORM_ACCOUNT_ID,
            "object": "account",
            "charges_enabled": True,
            "country": "DE",
            "default_currency": "eur",
            "details_submitted": True,
            "payouts_enabled": True,
            "type": "standard",
        }
    return call.as_account(PLATFORM).get("account", call.account)


@endpoint("POST", "/v1/accounts/{id}", _FIELDS)
def update(call: Call) -> Json:
    before = call.get("account", call.path[0])
    body = _changed(call, before)
    emit(call, "account.updated", body, before=before)
    return body


@endpoint("DELETE", "/v1/accounts/{id}")
def delete(call: Call) -> Json:
    body = call.get("account", call.path[0])
    gone = {"id": body["id"], "object": "account", "deleted": True}
    call.save(gone)
    return gone


@endpoint("GET", "/v1/accounts", f"{PAGING} created")
def list_all(call: Call) -> Json:
    return page(call, "account", "/v1/accounts")


@endpoint("POST", "/v1/account_links", "account type refresh_url return_url collect collection_options")
def create_link(call: Call) -> Json:
    params = call.params
    account = call.get("account", params.required("account"), param="account")
    params.required("type")
    kind = params.one_of("type", ("account_onboarding", "account_update"), "")
    if kind == "account_update" and account["type"] == "express":
        raise state_error("You cannot create account_update links for Express accounts.", param="type")
    for name in ("refresh_url", "return_url"):
        if not params.required(name).startswith(("http://", "https://")):
            raise ApiError("Not a valid URL", code="url_invalid", param=name)
    secret = new_id("link")
    call.store.set_setting(
        f"link:{secret}",
        {
            "account": account["id"],
            "return_url": params.text("return_url"),
            "expires": call.now + _LINK_SECONDS,
        },
    )
    return {
        "object": "account_link",
        "created": call.now,
        "expires_at": call.now + _LINK_SECONDS,
        "url": f"{call.config.base_url}/__pages/onboarding/{secret}",
    }


@endpoint("POST", "/v1/accounts/{id}/login_links")
def create_login_link(call: Call) -> Json:
    account = call.get("account", call.path[0])
    if account["type"] != "express":
        raise state_error("Cannot create a login link for an account that is not an Express account.")
    if not account["details_submitted"]:
        message = "Cannot create a login link for an account that has not completed onboarding."
        raise state_error(message)
    url = f"{call.config.base_url}/__pages/dashboard/{account['id']}"
    return {"object": "login_link", "created": call.now, "url": url}


def complete_onboarding(call: Call, account_id: str) -> Json:
    """The account has submitted everything: it can be charged for, paid out and transferred to."""
    before = _account(call, account_id)
    body = {
        **before,
        "capabilities": dict.fromkeys(before["capabilities"] or ("card_payments", "transfers"), "active"),
        "charges_enabled": True,
        "details_submitted": True,
        "payouts_enabled": True,
        "requirements": _requirements([], None),
    }
    call.save(body)
    emit(call, "account.updated", body, before=before)
    return body


def restrict(call: Call, account_id: str, *, due: list[str]) -> Json:
    """Stripe wants something again: no payouts, no transfers until it is given."""
    before = _account(call, account_id)
    body = {
        **before,
        "capabilities": dict.fromkeys(before["capabilities"], "inactive"),
        "charges_enabled": False,
        "payouts_enabled": False,
        "requirements": _requirements(due, "requirements.past_due"),
    }
    call.save(body)
    emit(call, "account.updated", body, before=before)
    return body


def _account(call: Call, account_id: str) -> Json:
    return call.get("account", account_id)


def _requirements(due: list[str], disabled_reason: str | None) -> Json:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": due,
        "disabled_reason": disabled_reason,
        "errors": [],
        "eventually_due": due,
        "past_due": due,
        "pending_verification": [],
    }


def _changed(call: Call, body: Json) -> Json:
    params = call.params
    body = {**body, "metadata": params.metadata(body["metadata"])}
    if "email" in params:
        body["email"] = params.text("email")
    if "business_type" in params:
        kinds = ("individual", "company", "non_profit", "government_entity")
        body["business_type"] = params.one_of("business_type", kinds, "")
    if "business_profile" in params:
        profile = params.hash("business_profile")
        body["business_profile"] = {
            **body["business_profile"],
            **{name: profile.text(name) for name in profile},
        }
    wanted = params.hash("capabilities")
    for name in wanted:
        _request_capability(body, name, wanted.hash(name))
    call.save(body)
    return body


def _request_capability(body: Json, name: str, wanted: Params) -> None:
    if name not in ("card_payments", "transfers", "sepa_debit_payments"):
        raise resource_missing("capability", name, f"capabilities[{name}]")
    if wanted.flag("requested"):
        fresh = "active" if body["details_submitted"] else "inactive"
        body["capabilities"] = {**body["capabilities"], name: body["capabilities"].get(name, fresh)}
