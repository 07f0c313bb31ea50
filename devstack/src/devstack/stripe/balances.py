"""Balance transactions: the only way an account's balance changes."""

from devstack.stripe.call import Call
from devstack.stripe.store import Json

_FEE_BASIS_POINTS = 150
_FEE_FIXED = 25


def processing_fee(amount: int) -> int:
    """Stripe's fee for a European card: 1.5 % rounded half up, and 25 minor units."""
    return (amount * _FEE_BASIS_POINTS + 5_000) // 10_000 + _FEE_FIXED


def post(
    call: Call, kind: str, source: Json, amount: int, *, fee: int = 0, available_on: int | None = None
) -> Json:
    """The balance of the call's account has changed by amount less fee."""
    details = {
        "amount": fee,
        "currency": source["currency"],
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    return call.create(
        "txn",
        "balance_transaction",
        {
            "amount": amount,
            "balance_type": "payments",
            "available_on": call.now if available_on is None else available_on,
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [details] if fee else [],
            "net": amount - fee,
            "reporting_category": kind,
            "source": source["id"],
            "type": kind,
        },
    )


def balance(call: Call) -> dict[str, tuple[int, int]]:
    """Available and pending, by currency, of the call's account."""
    rows = call.store.connection.execute(
        """SELECT json_extract(body, '$.currency') AS currency,
             sum(json_extract(body, '$.net') * (json_extract(body, '$.available_on') <= ?)) AS available,
             sum(json_extract(body, '$.net') * (json_extract(body, '$.available_on') > ?)) AS pending
           FROM object WHERE kind = 'balance_transaction' AND account = ? GROUP BY 1 ORDER BY 1""",
        (call.now, call.now, call.account),
    )
    return {row["currency"]: (row["available"], row["pending"]) for row in rows}


def available(call: Call, currency: str) -> int:
    return balance(call).get(currency, (0, 0))[0]
