"""What most tests need first: a customer with a card, an open invoice, an onboarded account."""

import httpx
import stripe


async def a_customer(client: stripe.StripeClient, card: str | None = "pm_card_visa") -> str:
    customer = await client.v1.customers.create_async({"name": "Acme", "email": "billing@acme.example"})
    if card:
        attached = await client.v1.payment_methods.attach_async(card, {"customer": customer.id})
        await client.v1.customers.update_async(
            customer.id, {"invoice_settings": {"default_payment_method": attached.id}}
        )
    return customer.id


async def an_invoice(
    client: stripe.StripeClient, customer: str, *amounts: int, finalize: bool = True
) -> stripe.Invoice:
    invoice = await client.v1.invoices.create_async(
        {"customer": customer, "currency": "eur", "auto_advance": False}
    )
    lines: list[stripe.params.InvoiceAddLinesParamsLine] = [
        {"amount": amount, "description": f"line of {amount}", "metadata": {"amount": str(amount)}}
        for amount in amounts
    ]
    assert invoice.id
    invoice = await client.v1.invoices.add_lines_async(invoice.id, {"lines": lines})
    assert invoice.id
    return await client.v1.invoices.finalize_invoice_async(invoice.id) if finalize else invoice


async def a_charge(client: stripe.StripeClient, amount: int = 10_000) -> str:
    """The id of a charge that an invoice was paid with."""
    invoice = await an_invoice(client, await a_customer(client), amount)
    assert invoice.id
    paid = await client.v1.invoices.pay_async(
        invoice.id, {"expand": ["payments.data.payment.payment_intent"]}
    )
    assert paid.payments
    intent = paid.payments.data[0].payment.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert isinstance(intent.latest_charge, str)
    return intent.latest_charge


async def an_account(client: stripe.StripeClient, url: str, *, onboarded: bool = True) -> str:
    account = await client.v1.accounts.create_async(
        {"type": "express", "country": "DE", "capabilities": {"transfers": {"requested": True}}}
    )
    if onboarded:
        httpx.post(f"{url}/__accounts/{account.id}/complete").raise_for_status()
    return account.id
