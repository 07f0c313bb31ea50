"""Fixtures of subscriptions: which database a test gets."""

from __future__ import annotations

import pytest


@pytest.fixture
def service() -> str:
    return "subscriptions"
