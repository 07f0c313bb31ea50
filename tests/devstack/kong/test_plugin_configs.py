"""What a real Kong made of these plugin configs: a few facts kept here, for where no recordings are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Kong

FACTS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "recordings" / "plugin_configs.json").read_text()
)


@pytest.mark.parametrize("name", FACTS)
async def test_a_config_is_filled_as_kong_fills_it(kong: Kong, name: str) -> None:
    for fact in FACTS[name]:
        made = await kong.must("POST", "/plugins", {"name": name, "config": fact["given"]})
        assert made["config"] == fact["config"]
        assert sorted(made["protocols"]) == sorted(fact["protocols"])
