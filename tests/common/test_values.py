"""Ids, money and events: the values that everything else is made of."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.clock import SystemClock
from common.events import Event, Incoming, headers
from common.ids import derived_id, new_id
from common.money import round_half_up


class ThingChanged(Event, topic="sample.thing.v1", type="thing.changed", key="place"):
    shelf: str
    slot: int

    @property
    def place(self) -> str:
        return f"{self.shelf}/{self.slot}"

    @classmethod
    def example(cls) -> Self:
        return cls(shelf="a", slot=1, version=3)


def test_later_ids_sort_later() -> None:
    made = [new_id() for _ in range(1000)]
    assert all(a < b for a, b in pairwise(made))
    assert {i.version for i in made} == {7}


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_derived_ids_are_the_same_for_the_same_parts_only(one: list[str], other: list[str]) -> None:
    assert (derived_id(*one) == derived_id(*other)) == (one == other)


def test_a_derived_id_never_changes() -> None:
    # Event ids and the gateway's entities are made of these: another value would double all of them.
    assert str(derived_id("catalog.api.v1", "a", "1")) == "ce718600-e228-5a4a-aafa-150ab4c1f1d5"


@pytest.mark.parametrize(
    ("amount", "whole"),
    [("0.5", 1), ("1.5", 2), ("2.5", 3), ("-0.5", -1), ("-2.5", -3), ("0.49", 0), ("1e3", 1000)],
)
def test_halves_go_away_from_zero(amount: str, whole: int) -> None:
    assert round_half_up(Decimal(amount)) == whole


@given(st.decimals(-(10**15), 10**15, allow_nan=False, places=6))
def test_a_refund_mirrors_its_charge(amount: Decimal) -> None:
    assert round_half_up(-amount) == -round_half_up(amount)
    assert abs(round_half_up(amount) - amount) <= Decimal("0.5")


def test_the_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_an_event_is_keyed_and_identified_by_its_aggregate_and_version() -> None:
    event = ThingChanged.example()
    assert event.key == "a/1"
    assert event.event_id == ThingChanged(shelf="a", slot=1, version=3).event_id
    assert event.event_id != ThingChanged(shelf="a", slot=1, version=4).event_id


def test_an_event_travels_as_a_cloud_event() -> None:
    found = headers(ThingChanged.example(), source="sample", now=datetime(2026, 11, 15, 12, tzinfo=UTC))
    assert found == {
        "ce_specversion": "1.0", "ce_id": str(ThingChanged.example().event_id), "ce_source": "/marketplace/sample",
        "ce_type": "thing.changed", "ce_subject": "a/1", "ce_time": "2026-11-15T12:00:00+00:00",
        "content-type": "application/json",
    }  # fmt: skip


def test_a_reader_takes_the_fields_it_needs_and_ignores_what_is_added_later() -> None:
    class ThingEvent(Incoming, topic="sample.thing.v1"):
        shelf: str

    read = ThingEvent.model_validate_json(ThingChanged.example().model_dump_json())
    assert read.model_dump() == {"shelf": "a", "version": 3}
    with pytest.raises(ValidationError):
        ThingEvent.model_validate({"shelf": "a", "version": 0})
