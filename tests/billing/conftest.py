from __future__ import annotations

import pytest


@pytest.fixture
def service() -> str:
    return "billing"
