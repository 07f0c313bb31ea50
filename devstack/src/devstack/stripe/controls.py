"""/__…: what a test or a demo does to the double itself, and what it reads of it. Not part of Stripe."""

from collections.abc import Callable

from devstack.stripe import invoicing
from devstack.stripe.balances import post
from devstack.stripe.call import PLATFORM, Call, Config, new_id
from devstack.stripe.clock import Clock
from devstack.stripe.errors import ApiError
from devstack.stripe.events import enqueue, webhook_settings
from devstack.stripe.faults import FaultScript
from devstack.stripe.forms import decode
from devstack.stripe.http import Answer, Request
from devstack.stripe.resources.accounts import complete_onboarding, restrict
from devstack.stripe.store import Json, Store
from devstack.stripe.webhooks import Deliveries

_JOURNAL_PAGE = 10_000


class Controls:
    """Journal, faults, webhooks, clock, onboarding and opening balance."""

    def __init__(
        self, store: Store, config: Config, *, clock: Clock, faults: FaultScript, deliveries: Deliveries
    ) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._faults = faults
        self._deliveries = deliveries

    async def answer(self, request: Request) -> Answer:
        try:
            return Answer(200, await self._answer(request))
        except ApiError as error:
            return Answer(error.status, error.body())

    async def _answer(self, request: Request) -> Json:
        parts = tuple(request.path.strip("/").split("/"))
        if (request.method, parts) == ("POST", ("__webhooks", "release")):
            return await self._deliveries.release(backwards=request.json().get("order") == "reverse")
        if request.method == "POST" and len(parts) == 3 and parts[0] == "__accounts":
            return self._account(parts[1], parts[2], request.json())
        simple: dict[tuple[str, str], Callable[[Request], Json]] = {
            ("GET", "__journal"): self._journal,
            ("GET", "__faults"): lambda _: self._faults.list_all(),
            ("POST", "__faults"): lambda request: self._faults.add(request.json()),
            ("DELETE", "__faults"): lambda _: self._faults.clear(),
            ("GET", "__webhooks"): self._webhooks,
            ("POST", "__webhooks"): self._set_webhooks,
            ("POST", "__webhooks/resend"): self._resend,
            ("POST", "__clock"): self._advance,
            ("POST", "__fund"): self._fund,
            ("POST", "__reset"): self._reset,
        }
        control = simple.get((request.method, "/".join(parts)))
        if control is None:
            known = sorted({f"{method} /{path}" for method, path in simple})
            raise ApiError(
                f"No such control. There are {', '.join(known)}, POST /__accounts/ID/complete.", status=404
            )
        return control(request)

    def call(self) -> Call:
        return Call(store=self._store, config=self._config, now=self._clock.now())

    def tick(self) -> None:
        """What is due by the clock has happened: invoices with auto_advance are finalized and collected."""
        call = self.call()
        waiting = self._store.newest(
            "invoice", account=PLATFORM, equal={"auto_advance": 1, "status": ["draft", "open"]}
        )
        for invoice in waiting:
            with self._store.transaction():
                invoicing.advance(call, invoice)

    def _journal(self, request: Request) -> Json:
        since = decode(request.query).integer("since") or 0
        return self._store.journal(since=since, limit=_JOURNAL_PAGE)

    def _webhooks(self, request: Request) -> Json:
        state = decode(request.query).text("state")
        return {
            "settings": webhook_settings(self._store),
            "deliveries": self._deliveries.list_all(state=state),
        }

    def _set_webhooks(self, request: Request) -> Json:
        wanted = request.json()
        settings = webhook_settings(self._store)
        if unknown := sorted(set(wanted) - set(settings)):
            raise ApiError(f"Unknown webhook settings {unknown}; there are {sorted(settings)}.")
        with self._store.transaction():
            self._store.set_setting("webhooks", {**settings, **wanted})
        return {"settings": webhook_settings(self._store)}

    def _resend(self, request: Request) -> Json:
        event_id = str(request.json().get("event", ""))
        if self._store.seq(event_id) is None:
            raise ApiError(f"No such event: '{event_id}'", status=404)
        with self._store.transaction():
            enqueue(self._store, event_id)
        return {"event": event_id}

    def _advance(self, request: Request) -> Json:
        now = self._clock.advance(int(request.json().get("advance_seconds", 0)))
        self.tick()
        return {"now": now}

    def _reset(self, _: Request) -> Json:
        self._store.reset()
        return {}

    def fund_once(self, currency: str, amount: int) -> None:
        if not self._store.setting("opened", default=False):
            with self._store.transaction():
                self._store.set_setting("opened", value=True)
                self._top_up(currency, amount)

    def _fund(self, request: Request) -> Json:
        """The platform's own money on its balance, as a top-up would put it there."""
        wanted = request.json()
        amount = wanted.get("amount")
        if not isinstance(amount, int) or amount < 1:
            raise ApiError("Give a positive integer amount in minor units.", param="amount")
        with self._store.transaction():
            return self._top_up(str(wanted.get("currency", "eur")), amount)

    def _top_up(self, currency: str, amount: int) -> Json:
        call = self.call()
        body: Json = {"id": new_id("tu"), "amount": amount, "currency": currency.lower()}
        post(call, "topup", body, amount)
        call.moved("topup", body)
        return body

    def _account(self, account_id: str, verb: str, wanted: Json) -> Json:
        with self._store.transaction():
            if verb == "complete":
                return complete_onboarding(self.call(), account_id)
            if verb == "restrict":
                due = [
                    str(name) for name in wanted.get("currently_due", ["individual.verification.document"])
                ]
                return restrict(self.call(), account_id, due=due)
        raise ApiError("There are complete and restrict.", status=404)
