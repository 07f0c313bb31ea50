from __future__ import annotations

import pytest
from httpx import AsyncClient

from tests.accounts.api.people import People
from tests.accounts.issuer import Issuer
from tests.support.tokens import TokenMaker


@pytest.fixture
def people(client: AsyncClient, issuer: Issuer, tokens: TokenMaker) -> People:
    return People(client, issuer, tokens)
