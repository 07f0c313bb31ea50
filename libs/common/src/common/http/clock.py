"""The clock as a dependency: `now` enters a request here."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from common.clock import Clock


def _clock(request: Request) -> Clock:
    return cast("Clock", request.app.state.clock)


ClockDep = Annotated[Clock, Depends(_clock)]
