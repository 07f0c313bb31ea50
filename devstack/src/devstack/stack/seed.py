"""What every start leaves ready to use: three organisations, one published sample API and a fresh key for it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from devstack.stack.config import Config
from devstack.stack.layout import SERVICES
from devstack.stack.platform import Addresses, Platform, PlatformError, until
from devstack.stack.roles import ROLES

SLUG, KEY_NAME = "rates", "quickstart"
PLAN = {
    "name": "Starter", "currency": "EUR", "billing_period": "monthly", "fixed_fee": 0, "included_requests": 10_000,
    "usage_price": {"model": "flat"}, "quota": 10_000, "rate_limits": {"second": 50, "minute": 1_000},
}  # fmt: skip


async def seed(config: Config) -> tuple[dict[str, str], dict[str, str]]:
    """Tokens by role, and the sample: `{url, key, api_id}`. Seeding again adds only a new key."""
    addresses = Addresses({name: config.url(name) for name in SERVICES}, config.url("oidc"))
    async with Platform(addresses) as platform:
        tokens = {
            name: await platform.token(role.username, slug=role.slug, name=role.name)
            for name, role in ROLES.items()
        }
        api = await _sample_api(platform, tokens["provider"], config.url("upstream"))
        key = await _fresh_key(platform, tokens["consumer"], api["id"])
        live = await until(
            "the sample API being live at the gateway",
            lambda: platform.get("catalog", f"/v1/apis/{api['id']}"),
            lambda found: found["gateway"]["state"] == "live",
            seconds=60,
        )
        url = f"{live['gateway']['proxy_url'].rstrip('/')}/rates/EUR"
        # An API that was live before is live still; the new key comes to the gateway a moment after it was made.
        await until(
            "the sample call", lambda: platform.call(url, key=key), lambda status: status == 200, seconds=60
        )
    return tokens, {"api_id": api["id"], "url": url, "key": key}


async def _sample_api(platform: Platform, token: str, upstream: str) -> dict[str, Any]:
    """The published sample API; a start that was cut short before is completed."""
    mine = await platform.get("catalog", "/v1/provider/apis", token=token, limit=100)
    api = next((found for found in mine["items"] if found["slug"] == SLUG), None)
    if api is None:
        body = {
            "slug": SLUG, "name": "Sample rates", "category": "finance", "base_url": upstream,
            "description": "Exchange rates from the sample upstream: a small API to try the marketplace with.",
        }  # fmt: skip
        api = await platform.post("catalog", "/v1/apis", token=token, json=body)
    elif api["base_url"] != upstream:  # the ports moved aside since
        api = await _move(platform, token, api["id"], upstream)
    path = f"/v1/apis/{api['id']}"
    if api["status"] == "draft":
        document = files("devstack.upstream").joinpath("openapi.json").read_bytes()
        await platform.put(
            "catalog", f"{path}/versions/v1/openapi", token=token, content=document, media="application/json"
        )
        if not (await platform.get("catalog", f"{path}/plans", token=token))["items"]:
            await platform.post("catalog", f"{path}/plans", token=token, json=PLAN)
        api = await platform.post("catalog", f"{path}/publish", token=token)
    return dict(api)


async def _move(platform: Platform, token: str, api_id: str, upstream: str) -> dict[str, Any]:
    return dict(
        await platform.patch("catalog", f"/v1/apis/{api_id}", token=token, json={"base_url": upstream})
    )


async def _fresh_key(platform: Platform, token: str, api_id: str) -> str:
    """A new key of the consumer's subscription; earlier quickstart keys are revoked, for nobody has them any more."""
    mine = await platform.get("subscriptions", "/v1/subscriptions", token=token, limit=100)
    for found in mine["items"]:
        if found["api_id"] == api_id and found["status"] == "active":
            await _revoke_earlier(platform, token, found["id"])
            made = await platform.post(
                "subscriptions", f"/v1/subscriptions/{found['id']}/keys", token=token, json={"name": KEY_NAME}
            )
            return str(made["key"])
    plans = await platform.get("catalog", f"/v1/apis/{api_id}/plans")
    body = {"plan_id": plans["items"][0]["id"], "key_name": KEY_NAME}

    async def subscribe() -> Any:
        return await platform.post("subscriptions", "/v1/subscriptions", token=token, json=body)

    try:
        made = await until("the plan reaching subscriptions", subscribe, lambda _: True)
    except PlatformError as error:
        raise RuntimeError(f"the sample subscription was refused: {error}") from error
    return str(made["key"]["key"])


async def _revoke_earlier(platform: Platform, token: str, subscription_id: str) -> None:
    keys = await platform.get(
        "subscriptions", f"/v1/subscriptions/{subscription_id}/keys", token=token, limit=100
    )
    for key in keys["items"]:
        if key["name"] == KEY_NAME and key["status"] == "active":
            await platform.delete("subscriptions", f"/v1/keys/{key['id']}", token=token)
