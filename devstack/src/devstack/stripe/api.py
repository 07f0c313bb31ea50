"""/v1: authentication, idempotency, faults, the handler in one transaction, the answer."""

import asyncio
import base64
import binascii
import logging
from dataclasses import replace

from devstack.stripe import resources
from devstack.stripe.call import PLATFORM, Call, Config, new_id
from devstack.stripe.clock import Clock
from devstack.stripe.errors import ApiError
from devstack.stripe.faults import FaultScript, rate_limited, server_error
from devstack.stripe.forms import decode
from devstack.stripe.http import Answer, Request
from devstack.stripe.idempotency import Attempt, Ledger, Recorded, attempt, key_in_use
from devstack.stripe.rendering import expand, render
from devstack.stripe.routing import Endpoint, find_endpoint
from devstack.stripe.store import Store

log = logging.getLogger("stripe")

_KEY_PREFIXES = ("sk_test_", "rk_test_")
_RETRYABLE = {409, 429}
assert resources.__all__  # importing the package is what fills the table of endpoints


class Api:
    """Answers the API's requests. All effects of one are committed, together with its idempotency record, before
    the answer is returned."""

    def __init__(self, store: Store, config: Config, *, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._ledger = Ledger(store)
        self.faults = FaultScript(store)

    async def answer(self, request: Request) -> Answer:
        call = Call(
            store=self._store,
            config=self._config,
            now=self._clock.now(),
            request_id=new_id("req"),
            api_version=request.headers.get("stripe-version"),
        )
        if request.is_write:
            call.idempotency_key = request.headers.get("idempotency-key") or None
        try:
            answer = await self._answer(request, call)
        except ApiError as error:
            answer = Answer(error.status, error.body())
        log.info("request.answered %s %s %s %s", request.method, request.path, answer.status, call.request_id)
        return replace(answer, headers={**self._headers(call, answer.status), **answer.headers})

    def _headers(self, call: Call, status: int) -> dict[str, str]:
        headers = {
            "Request-Id": str(call.request_id),
            "Stripe-Version": call.api_version or self._config.api_version,
            "Cache-Control": "no-cache, no-store",
        }
        if call.account != PLATFORM:
            headers["Stripe-Account"] = call.account
        if call.idempotency_key:
            headers["Idempotency-Key"] = call.idempotency_key
            headers["Original-Request"] = str(call.request_id)
        if status in _RETRYABLE or status >= 500:
            headers["Stripe-Should-Retry"] = "true"
        return headers

    async def _answer(self, request: Request, call: Call) -> Answer:
        authenticate(request)
        call.account = self._acting_account(request)
        found = find_endpoint(request.method, request.path)
        if found is None:
            message = f"Unrecognized request URL ({request.method}: {request.path})."
            raise ApiError(message, status=404)
        endpoint, call.path = found
        call.params = decode(request.body.decode("utf-8", "replace") if request.is_write else request.query)
        asked = None
        if call.idempotency_key:
            asked = attempt(
                call.account, call.idempotency_key, request.method, request.path, call.params.flat()
            )
        return await self._once(request, call, endpoint, asked)

    async def _once(self, request: Request, call: Call, endpoint: Endpoint, asked: Attempt | None) -> Answer:
        """The recorded answer of the key, or the endpoint's work and its record."""
        recorded = self._ledger.recorded(asked, call.now) if asked else None
        if asked is None or recorded:
            return await self._attempt(request, call, endpoint, asked, recorded)
        self._ledger.begin(asked)
        try:
            return await self._attempt(request, call, endpoint, asked, None)
        finally:
            self._ledger.end(asked)

    async def _attempt(
        self,
        request: Request,
        call: Call,
        endpoint: Endpoint,
        asked: Attempt | None,
        recorded: Recorded | None,
    ) -> Answer:
        fault = self.faults.take(request.method, request.path, replay=recorded is not None)
        mode = fault.mode if fault else ""
        if mode == "before":
            return Answer(0, cut=True)
        if mode == "429":
            raise rate_limited()
        if mode == "409":
            raise key_in_use(call.idempotency_key or "")
        if fault and mode == "hang":
            await asyncio.sleep(fault.seconds)
        answer = _replayed(recorded) if recorded else self._execute(call, endpoint, asked, mode)
        if fault and mode == "hang_after":
            await asyncio.sleep(fault.seconds)
        return Answer(0, cut=True) if mode == "after" else answer

    def _execute(self, call: Call, endpoint: Endpoint, asked: Attempt | None, mode: str) -> Answer:
        try:
            if mode == "500":
                raise server_error()
            return self._commit(
                call, endpoint, asked, replace_by=server_error() if mode == "500_after" else None
            )
        except ApiError as error:
            if asked and error.stored and not error.keeps_effects:
                with self._store.transaction():
                    self._ledger.record(
                        asked, Recorded(error.status, error.body(), str(call.request_id)), call.now
                    )
            raise

    def _commit(
        self, call: Call, endpoint: Endpoint, asked: Attempt | None, *, replace_by: ApiError | None
    ) -> Answer:
        """Handler, journal, events and idempotency record in one transaction."""
        with self._store.transaction():
            try:
                call.params.allow(endpoint.parameters)
                content = endpoint.handler(call)
                content = expand(call, render(call, content), call.params.strings("expand"))
                status = 200
            except ApiError as error:
                if not error.keeps_effects:
                    raise
                status, content = error.status, error.body()
            if replace_by:
                status, content = replace_by.status, replace_by.body()
            if asked:
                self._ledger.record(asked, Recorded(status, content, str(call.request_id)), call.now)
        return Answer(status, content)

    def _acting_account(self, request: Request) -> str:
        account = request.headers.get("stripe-account", PLATFORM)
        if account == PLATFORM:
            return PLATFORM
        found = self._store.find(account, account=PLATFORM, kind="account")
        if found is None or found.get("deleted"):
            message = f"The provided key does not have access to account '{account}' (or that account does not exist)."
            raise ApiError(message, status=403, code="account_invalid")
        return account


def authenticate(request: Request) -> None:
    """A test key came along as Bearer or as the user of Basic."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    key = value.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    if not key:
        message = "You did not provide an API key. Provide it in the Authorization header, using Bearer auth."
        raise ApiError(message, status=401)
    if not key.startswith(_KEY_PREFIXES):
        raise ApiError(f"Invalid API Key provided: {key[:8]}****", status=401)


def _replayed(recorded: Recorded) -> Answer:
    headers = {"Idempotent-Replayed": "true", "Original-Request": recorded.request_id}
    return Answer(recorded.status, recorded.body, headers)
