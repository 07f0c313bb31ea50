"""Retries and the circuit breaker."""

from __future__ import annotations

import pytest
import stamina

from common.breaker import Breaker, CircuitOpen
from common.retry import retrying


class Away(Exception):
    pass


class Refused(Exception):
    pass


class Neighbour:
    """Answers what it is told to, and counts the calls that reach it."""

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0
        self.breaker = Breaker(failures=3, reset_seconds=10, monotonic=lambda: self.seconds)

    def call(self, error: Exception | None = None) -> None:
        with self.breaker.guard(on=Away):
            self.calls += 1
            if error is not None:
                raise error

    def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(Away):
                self.call(Away())


@pytest.fixture
def neighbour() -> Neighbour:
    return Neighbour()


def test_after_enough_failures_no_call_is_made(neighbour: Neighbour) -> None:
    neighbour.fail(3)
    for _ in range(5):
        with pytest.raises(CircuitOpen):
            neighbour.call()
    assert neighbour.calls == 3


def test_an_open_circuit_is_503() -> None:
    assert (CircuitOpen.status, CircuitOpen.code) == (503, "CIRCUIT_OPEN")


def test_a_success_in_between_starts_the_count_again(neighbour: Neighbour) -> None:
    neighbour.fail(2)
    neighbour.call()
    neighbour.fail(2)
    neighbour.call()


def test_an_error_that_shows_it_alive_starts_the_count_again(neighbour: Neighbour) -> None:
    neighbour.fail(2)
    with pytest.raises(Refused):
        neighbour.call(Refused())
    neighbour.fail(2)
    neighbour.call()


def test_after_a_while_one_call_tries_and_success_closes(neighbour: Neighbour) -> None:
    neighbour.fail(3)
    neighbour.seconds += 10
    with neighbour.breaker.guard(on=Away), pytest.raises(CircuitOpen):
        neighbour.call()  # while one tries, others stay out
    neighbour.call()
    neighbour.fail(2)
    neighbour.call()


def test_a_trial_that_fails_opens_it_again_at_once(neighbour: Neighbour) -> None:
    neighbour.fail(3)
    neighbour.seconds += 10
    neighbour.fail(1)
    with pytest.raises(CircuitOpen):
        neighbour.call()
    neighbour.seconds += 10
    neighbour.call()


async def attempts_until(failures: int, error: type[Exception], attempts: int) -> int:
    made = 0
    with stamina.set_testing(True, attempts=attempts):
        async for attempt in retrying(on=Away, attempts=attempts):
            with attempt:
                made += 1
                if made <= failures:
                    raise error
    return made


async def test_a_call_is_tried_again_until_it_succeeds() -> None:
    assert await attempts_until(2, Away, attempts=4) == 3


async def test_the_last_error_is_raised() -> None:
    with pytest.raises(Away):
        await attempts_until(9, Away, attempts=4)


async def test_another_error_is_not_tried_again() -> None:
    made = 0
    with pytest.raises(Refused):
        async for attempt in retrying(on=Away):
            with attempt:
                made += 1
                raise Refused
    assert made == 1


async def test_waits_are_short_at_first() -> None:
    made = 0
    async for attempt in retrying(on=Away, attempts=2):
        with attempt:
            made += 1
            if made == 1:
                raise Away
    assert made == 2
