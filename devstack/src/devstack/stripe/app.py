"""The ASGI application: the API under /v1, the controls under /__, and the loops beside them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from devstack.stripe.api import Api
from devstack.stripe.call import Config
from devstack.stripe.clock import Clock
from devstack.stripe.controls import Controls
from devstack.stripe.http import Answer, Message, Receive, Request, Send, read, write
from devstack.stripe.pages import Pages
from devstack.stripe.store import Store
from devstack.stripe.webhooks import Deliveries

log = logging.getLogger("stripe")

_TICK_SECONDS = 1.0


class StripeDouble:
    """One Stripe account with its connected accounts, kept in one file."""

    def __init__(
        self, path: Path, config: Config, *, webhook_url: str | None, webhook_secrets: Sequence[str]
    ) -> None:
        store = Store(path)
        clock = Clock(store, time.time)
        self._deliveries = Deliveries(store, url=webhook_url, secrets=webhook_secrets)
        self._api = Api(store, config, clock=clock)
        self._controls = Controls(
            store, config, clock=clock, faults=self._api.faults, deliveries=self._deliveries
        )
        self._pages = Pages(store, self._controls)

    def open_balance(self, currency: str, amount: int) -> None:
        """The platform has this much of its own, once and for all restarts."""
        self._controls.fund_once(currency, amount)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request = await read(scope, receive)
        try:
            answer = await self._answer(request)
        except Exception:
            log.exception("request.failed %s %s", request.method, request.path)
            error = {"type": "api_error", "message": "The Stripe double has a bug; see its log."}
            answer = Answer(500, {"error": error})
        await write(send, request, answer)

    async def _answer(self, request: Request) -> Answer:
        if request.path == "/livez":
            return Answer(200, {"status": "ok"})
        if request.path.startswith("/__pages/"):
            return self._pages.answer(request)
        if request.path.startswith("/__"):
            return await self._controls.answer(request)
        return await self._api.answer(request)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        loops = [asyncio.create_task(loop) for loop in (self._deliveries.run(), self._ticks())]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in loops:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await send({"type": "lifespan.shutdown.complete"})

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self._controls.tick()
            except Exception:
                log.exception("tick.failed")
