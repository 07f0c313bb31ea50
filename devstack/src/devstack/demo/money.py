"""The second half of the story: cut off, invoice, pay, the provider's balance, the ledger, the payout."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devstack.demo import recompute
from devstack.demo.chaos import Load
from devstack.demo.checks import Expected, compare_balance, compare_invoice, compare_ledger
from devstack.demo.narrator import money
from devstack.demo.story import FEE_PERCENT, Story
from devstack.stack.platform import until

_RECONCILIATIONS = 5


def recomputed(story: Story, expected: Expected, until_: str) -> dict[str, Any]:
    """What the invoice must say, by a script that imports nothing of ours."""
    facts = {
        "terms": story.subscription["terms"], "started_at": story.subscription["started_at"], "until": until_,
        "billable_calls": expected.billable_calls, "fee_percent": FEE_PERCENT,
    }  # fmt: skip
    script = [sys.executable, "-I", str(Path(recompute.__file__))]
    done = subprocess.run(script, input=json.dumps(facts), capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


async def invoice(story: Story, expected: Expected, *, chaos: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The consumer's invoice up to now, checked line by line; asked for twice, made once."""
    story.tell.chapter("Cut-off and invoice")
    cut = datetime.now(UTC).isoformat()
    body = {"organisation_id": story.organisation(story.consumer), "until": cut}

    async def ask() -> Any:
        return await story.platform.post("billing", "/v1/invoice-runs", token=story.admin, json=body)

    runs = await story.killer.kill_during("billing", [ask] * 12) if chaos else [await ask(), await ask()]
    if len({run["id"] for run in runs}) != 1:
        story.differences.append("the same invoice run asked for again was another run")
    run = await until("the invoice run", ask, lambda found: found["status"] == "done", seconds=60)
    if len(run["invoice_ids"]) != 1:
        story.differences.append(f"the run made {len(run['invoice_ids'])} invoices instead of one")
    made = await read_invoice(story, run["invoice_ids"][0])
    wanted = recomputed(story, expected, cut)
    story.differences += compare_invoice(wanted, made)
    story.tell.table(
        ["line", "quantity", "unit price", "amount"],
        [[i["kind"], i["quantity"], i["unit_price"] or "by tier", money(i["amount"])] for i in made["lines"]],
    )
    story.tell.say(
        f"invoice {made.get('number')}: {money(made['total'])} {made['currency']}, {made['status']}"
    )
    return made, wanted


async def evidence(story: Story, made: dict[str, Any]) -> int:
    """The usage line follows from the calls themselves, checked offline; how many calls were looked at."""
    line = next(found for found in made["lines"] if found["kind"] == "usage")
    metered = next(step for step in line["trace"] if step["step"] == "metered")
    cut = datetime.fromisoformat(metered["until"])
    of = {
        "subscription_id": story.subscription["id"],
        "plan_version_id": story.subscription["plan_version_id"],
    }
    span = {
        "from": cut.replace(day=1, hour=0, minute=0, second=0, microsecond=0).isoformat(),
        "to": cut.isoformat(),
    }
    found = await story.platform.get("metering", "/v1/usage/evidence", token=story.consumer, **of, **span)
    kept = {"evidence": story.folder / "evidence.json", "invoice": story.folder / "invoice.json"}
    kept["evidence"].write_text(json.dumps(found))
    kept["invoice"].write_text(json.dumps(made))
    program = [sys.executable, "-m", "devstack", "verify-usage", str(kept["evidence"])]
    program += ["--invoice", str(kept["invoice"]), "--line", line["id"]]
    done = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, check=False)
    if done.returncode:
        story.differences.append(f"the usage line, checked offline: {done.stdout}{done.stderr}")
    calls = sum(len(hour["leaves"]) for hour in found["hours"])
    story.tell.say(f"the usage line follows from {calls} sealed calls: {kept['evidence']}")
    return calls


async def read_invoice(story: Story, invoice_id: str) -> dict[str, Any]:
    """The invoice as its organisation reads it."""
    return dict(await story.platform.get("billing", f"/v1/invoices/{invoice_id}", token=story.consumer))


async def pay(story: Story, made: dict[str, Any], wanted: dict[str, Any], *, chaos: bool) -> dict[str, Any]:
    """The invoice is paid by card, and the provider's share stands in its balance."""
    story.tell.chapter("Payment")
    card = {"payment_method_id": "pm_card_visa"}
    await story.platform.post("billing", "/v1/payment-methods", token=story.consumer, json=card)
    path = f"/v1/invoices/{made['id']}/pay"

    paying = 0

    async def ask() -> Any:
        nonlocal paying
        paying += 1
        try:
            return await story.platform.post("billing", path, token=story.consumer)
        finally:
            paying -= 1

    async def open_payments() -> int:
        # An answer of Stripe's first, so that the payment had the time to get there.
        await story.platform.fetch(f"{story.stack['stripe']['url']}/livez")
        return paying

    if chaos:
        load = Load("payments open at billing, which waits for Stripe", open_payments)
        await story.killer.kill_during("stripe", [ask], load)
    else:
        await ask()
    paid = await until(
        "the payment arriving",
        lambda: read_invoice(story, made["id"]),
        lambda found: found["status"] == "paid",
    )
    balance = await until(
        "the provider's share",
        lambda: story.platform.get("billing", "/v1/balance", token=story.provider),
        lambda found: found.get(made["currency"], {}).get("available") == wanted["provider"],
        seconds=20,
    )
    story.differences += compare_balance(wanted, balance, made["currency"])
    shown = balance[made["currency"]]
    story.tell.say(
        f"paid; the provider has {money(shown['available'])} available, the fee was {money(shown['fee'])}"
    )
    return {"invoice": paid, "balance": balance}


async def ledger(story: Story) -> dict[str, Any]:
    """The trial balance of the whole marketplace."""
    trial = dict(await story.platform.get("billing", "/v1/ledger/trial-balance", token=story.admin))
    story.differences += compare_ledger(trial)
    return trial


async def payout(story: Story, wanted: dict[str, Any], currency: str) -> dict[str, Any]:
    """The provider connected an account, and its balance was transferred to it."""
    story.tell.chapter("The provider's bank")
    account = await story.platform.post("billing", "/v1/connect/account", token=story.provider, json={})
    await story.complete_onboarding(account)
    balance = await until(
        "the transfer to the provider",
        lambda: story.platform.get("billing", "/v1/balance", token=story.provider),
        lambda found: found[currency]["paid_out"] == wanted["provider"],
        seconds=40,
    )
    if balance[currency]["available"] != 0:
        story.differences.append(f"{balance[currency]['available']} is still available after the transfer")
    story.tell.say(f"{money(balance[currency]['paid_out'])} {currency} transferred to the connected account")
    return dict(balance)


async def reconcile(story: Story) -> dict[str, Any]:
    """Metering's and billing's own reconciliations find nothing; what shows once and goes was only on its way."""
    story.tell.chapter("Reconciliation")

    async def both() -> dict[str, Any]:
        usage = await story.platform.get("metering", "/v1/reconciliation", token=story.admin)
        return {"metering": usage["differences"], "billing": await _billing_differences(story)}

    found: dict[str, Any] = {}
    for _ in range(_RECONCILIATIONS):
        found = await both()
        if not any(found.values()):
            break
        await asyncio.sleep(1)
    story.differences += [f"{name} reconciliation: {one}" for name, items in found.items() for one in items]
    story.tell.say("; ".join(f"{name}: {len(items)} differences" for name, items in found.items()))
    return found


async def _billing_differences(story: Story) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "devstack", "billing", "reconcile",
        cwd=story.layout.home, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    told, _ = await process.communicate()
    if process.returncode not in (0, 1) or not told:
        return [f"`billing reconcile` ended with {process.returncode}"]
    return list(json.loads(told)["differences"])
