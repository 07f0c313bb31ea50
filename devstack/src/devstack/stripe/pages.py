"""The hosted pages that Stripe's answers link to, as bare HTML: onboarding, dashboard, portal, invoice."""

import html

from devstack.stripe.call import PLATFORM
from devstack.stripe.controls import Controls
from devstack.stripe.http import Answer, Request
from devstack.stripe.resources.accounts import complete_onboarding
from devstack.stripe.store import Json, Store

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px system-ui;max-width:32rem;margin:12vh auto}}</style><h1>{title}</h1>
<p>Stripe double (development). No real money is involved.</p>{content}</html>"""


class Pages:
    """GET shows a page, POST on the onboarding page completes the onboarding."""

    def __init__(self, store: Store, controls: Controls) -> None:
        self._store = store
        self._controls = controls

    def answer(self, request: Request) -> Answer:
        parts = request.path.strip("/").split("/")
        kind, name = (parts[1], parts[2]) if len(parts) == 3 else ("", "")
        if kind == "onboarding":
            return self._onboarding(request, name)
        known = {"invoice": "invoice", "portal": "billing_portal.session", "dashboard": "account"}
        body = self._store.find(name, account=PLATFORM, kind=known.get(kind, "-"))
        if body is None:
            return _page("Not found", "<p>There is no such page.</p>", status=404)
        return _page(kind.capitalize(), _facts(body))

    def _onboarding(self, request: Request, secret: str) -> Answer:
        call = self._controls.call()
        link = self._store.setting(f"link:{secret}", None)
        if link is None or link["expires"] < call.now:
            return _page("Link expired", "<p>Ask for a new onboarding link.</p>", status=404)
        if request.method == "POST":
            with self._store.transaction():
                complete_onboarding(call, link["account"])
            return Answer(303, html="", headers={"Location": link["return_url"]})
        form = "<form method='post'><button>Submit everything Stripe asks for</button></form>"
        return _page("Onboarding", f"<p>{html.escape(link['account'])}</p>{form}")


def _facts(body: Json) -> str:
    shown = (
        "id",
        "number",
        "status",
        "currency",
        "total",
        "amount_due",
        "customer",
        "email",
        "payouts_enabled",
    )
    rows = [f"<dt>{name}</dt><dd>{html.escape(str(body[name]))}</dd>" for name in shown if name in body]
    link = body.get("return_url") or ""
    safe = link.startswith(("http://", "https://"))
    back = f'<p><a href="{html.escape(link)}">Back</a></p>' if safe else ""
    return f"<dl>{''.join(rows)}</dl>{back}"


def _page(title: str, content: str, *, status: int = 200) -> Answer:
    return Answer(status, html=_PAGE.format(title=html.escape(title), content=content))
