"""Catalogue data, valid by default."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from httpx import AsyncClient

from catalog.domain.api import Api
from catalog.domain.terms import PriceModel, RateLimits, Terms, Tier, UsagePrice
from tests.support.clock import NOON

ACME = UUID("01900000-0000-7000-8000-0000000000a1")
GLOBEX = UUID("01900000-0000-7000-8000-0000000000b2")
API_ID = UUID("01900000-0000-7000-8000-000000000011")


def an_api_body(**overrides: Any) -> dict[str, Any]:
    return {
        "slug": "rates",
        "name": "Rates",
        "description": "Exchange rates of the day.",
        "category": "finance",
        "base_url": "https://api.example.com/rates",
    } | overrides


def a_plan_body(**overrides: Any) -> dict[str, Any]:
    return {
        "name": "Pro",
        "currency": "EUR",
        "billing_period": "monthly",
        "fixed_fee": 1900,
        "included_requests": 100,
        "usage_price": {
            "model": "graduated",
            "tiers": [
                {"up_to": 1000, "unit_price": "0.5", "flat_fee": 0},
                {"up_to": None, "unit_price": "0.25", "flat_fee": 0},
            ],
        },
        "quota": None,
        "rate_limits": {"second": 10, "minute": 100, "hour": None, "day": None},
    } | overrides


def a_document(**overrides: Any) -> dict[str, Any]:
    return {
        "openapi": "3.0.3",
        "info": {"title": "Rates", "version": "1.0"},
        "paths": {
            "/rates/{currency}": {
                "get": {
                    "operationId": "getRate",
                    "summary": "One rate",
                    "parameters": [{"name": "currency", "in": "path", "required": True}],
                    "responses": {"200": {"description": "ok"}},
                }
            },
            "/rates": {"get": {"operationId": "listRates", "responses": {"200": {"description": "ok"}}}},
        },
    } | overrides


def a_document_text(**overrides: Any) -> bytes:
    return json.dumps(a_document(**overrides)).encode()


def an_api(**overrides: Any) -> Api:
    base = Api(
        id=API_ID, version=1, provider_organisation_id=ACME, provider_slug="acme", slug="rates", name="Rates",
        description="Exchange rates of the day.", category="finance", base_url="https://api.example.com/rates",
        created_at=NOON, updated_at=NOON,
    )  # fmt: skip
    return replace(base, **overrides)


def some_terms(**overrides: Any) -> Terms:
    base = Terms(
        name="Pro",
        currency="EUR",
        fixed_fee=1900,
        included_requests=100,
        usage_price=UsagePrice(
            PriceModel.GRADUATED, tiers=(Tier(1000, Decimal("0.5")), Tier(None, Decimal("0.25")))
        ),
        rate_limits=RateLimits(second=10, minute=100),
    )
    return replace(base, **overrides)


async def register(client: AsyncClient, headers: dict[str, str], **overrides: Any) -> str:
    """A draft; returns its id."""
    answer = await client.post("/v1/apis", json=an_api_body(**overrides), headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def publish(client: AsyncClient, headers: dict[str, str], **overrides: Any) -> str:
    """A published API with a version v1; returns its id."""
    api_id = await register(client, headers, **overrides)
    path = f"/v1/apis/{api_id}/versions/v1/openapi"
    answer = await client.put(path, content=a_document_text(), headers=headers)
    assert answer.status_code == 200, answer.text
    answer = await client.post(f"/v1/apis/{api_id}/publish", headers=headers)
    assert answer.status_code == 200, answer.text
    return api_id


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)
