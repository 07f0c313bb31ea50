"""The sample API itself: reference exchange rates, made up and the same for ever.

A rate follows from the currency pair and the day alone, so that any answer can be checked by asking again.
"""

import base64
import binascii
import hashlib
import re
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from devstack.upstream.app import Handler, status_answer
from devstack.upstream.messages import Answer, Refused, Request, json_answer

DOCUMENT = Path(__file__).with_name("openapi.json")
FIRST_DAY = date(2020, 1, 1)
LATEST_DAY = date(2026, 10, 30)
LONGEST_HISTORY_DAYS = 366
LARGEST_BATCH = 100

_CURRENCIES = {
    "AUD": ("Australian dollar", "1.6500"),
    "BRL": ("Brazilian real", "5.9000"),
    "CAD": ("Canadian dollar", "1.4800"),
    "CHF": ("Swiss franc", "0.9600"),
    "CNY": ("Chinese yuan", "7.8000"),
    "CZK": ("Czech koruna", "25.100"),
    "DKK": ("Danish krone", "7.4600"),
    "EUR": ("Euro", "1"),
    "GBP": ("Pound sterling", "0.8500"),
    "INR": ("Indian rupee", "91.000"),
    "JPY": ("Japanese yen", "162.00"),
    "NOK": ("Norwegian krone", "11.600"),
    "PLN": ("Polish zloty", "4.3000"),
    "SEK": ("Swedish krona", "11.400"),
    "USD": ("US dollar", "1.0900"),
    "ZAR": ("South African rand", "20.200"),
}
_SIX_PLACES = Decimal("0.000001")
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,6})?")


def rate(base: str, quote: str, day: date) -> Decimal:
    """Units of `quote` for one `base` on that day, six places, half up."""
    return (_euro_rate(quote, day) / _euro_rate(base, day)).quantize(_SIX_PLACES, ROUND_HALF_UP)


def _euro_rate(currency: str, day: date) -> Decimal:
    middle = Decimal(_CURRENCIES[currency][1])
    if currency == "EUR":
        return middle
    digest = hashlib.sha256(f"{currency} {day.isoformat()}".encode()).digest()
    basis_points = int.from_bytes(digest[:2], "big") % 301 - 150
    return middle * (1 + Decimal(basis_points) / 10_000)


def list_currencies(_: Request, __: dict[str, str]) -> Answer:
    return json_answer(
        {"items": [{"code": code, "name": name} for code, (name, _rate) in _CURRENCIES.items()]}
    )


def list_rates(request: Request, parameters: dict[str, str]) -> Answer:
    base, query = _currency(parameters["base"]), request.query()
    day = _day(query.get("date"))
    symbols = (
        [_currency(code) for code in query["symbols"].split(",")]
        if query.get("symbols")
        else list(_CURRENCIES)
    )
    rates = {code: str(rate(base, code, day)) for code in symbols if code != base}
    return json_answer({"base": base, "date": day.isoformat(), "rates": rates})


def get_rate(request: Request, parameters: dict[str, str]) -> Answer:
    base, quote = _currency(parameters["base"]), _currency(parameters["quote"])
    day = _day(request.query().get("date"))
    return json_answer(
        {"base": base, "quote": quote, "date": day.isoformat(), "rate": str(rate(base, quote, day))}
    )


def get_rate_history(request: Request, parameters: dict[str, str]) -> Answer:
    base, quote, query = _currency(parameters["base"]), _currency(parameters["quote"]), request.query()
    if not query.get("from"):
        raise Refused(400, "The query parameter 'from' is required.")
    first, last = _day(query["from"]), _day(query.get("to"))
    days = (last - first).days + 1
    if not 1 <= days <= LONGEST_HISTORY_DAYS:
        raise Refused(400, f"From 'from' to 'to' must be 1 to {LONGEST_HISTORY_DAYS} days; it is {days}.")
    dates = [first + timedelta(days=n) for n in range(days)]
    items = [{"date": day.isoformat(), "rate": str(rate(base, quote, day))} for day in dates]
    return json_answer({"base": base, "quote": quote, "items": items})


def create_conversion(request: Request, _: dict[str, str]) -> Answer:
    conversion = _convert(request.json())
    return json_answer(conversion, 201, Location=f"/conversions/{conversion['id']}")


def create_conversions(request: Request, _: dict[str, str]) -> Answer:
    body = request.json()
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list) or not 1 <= len(items) <= LARGEST_BATCH:
        raise Refused(422, f"'items' must be a list of 1 to {LARGEST_BATCH} conversions.")
    # A plan may price by these units instead of by calls.
    return json_answer({"items": [_convert(item) for item in items]}, X_Usage_Units=str(len(items)))


def get_conversion(_: Request, parameters: dict[str, str]) -> Answer:
    padded = parameters["conversion_id"] + "=" * (-len(parameters["conversion_id"]) % 4)
    try:
        base, quote, amount, day = base64.urlsafe_b64decode(padded).decode().split(" ")
        conversion = _convert({"from": base, "to": quote, "amount": amount, "date": day})
    except (binascii.Error, ValueError, Refused) as error:
        raise Refused(404, "There is no such conversion.") from error
    return json_answer(conversion)


def get_status(_: Request, parameters: dict[str, str]) -> Answer:
    code = parameters["code"]
    if not (code.isascii() and code.isdigit() and 200 <= int(code) <= 599):
        raise Refused(400, "The code must be from 200 to 599.")
    return status_answer(int(code))


def echo(request: Request, _: dict[str, str]) -> Answer:
    return json_answer(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query(),
            "headers": dict(request.headers),
            "body": request.body.decode("utf-8", "replace"),
        }
    )


HANDLERS: dict[str, Handler] = {
    "listCurrencies": list_currencies,
    "listRates": list_rates,
    "getRate": get_rate,
    "getRateHistory": get_rate_history,
    "createConversion": create_conversion,
    "createConversions": create_conversions,
    "getConversion": get_conversion,
    "getStatus": get_status,
    "echo": echo,
}


def _convert(wanted: Any) -> dict[str, str]:
    if not isinstance(wanted, dict):
        raise Refused(422, "A conversion is an object with 'from', 'to' and 'amount'.")
    base, quote = _currency(wanted.get("from"), status=422), _currency(wanted.get("to"), status=422)
    amount = wanted.get("amount")
    if not isinstance(amount, str) or not _AMOUNT.fullmatch(amount):
        raise Refused(422, "'amount' must be a decimal number in a string, such as \"125.50\".")
    day = _day(wanted.get("date"), status=422)
    used = rate(base, quote, day)
    key = f"{base} {quote} {amount} {day.isoformat()}"
    return {
        "id": base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode(),
        "from": base,
        "to": quote,
        "amount": amount,
        "date": day.isoformat(),
        "rate": str(used),
        "result": str((Decimal(amount) * used).quantize(Decimal("0.01"), ROUND_HALF_UP)),
    }


def _currency(code: Any, *, status: int = 404) -> str:
    if not isinstance(code, str) or code.upper() not in _CURRENCIES:
        raise Refused(status, f"There is no currency {code!r}; see /currencies.")
    return code.upper()


def _day(text: Any, *, status: int = 400) -> date:
    if not text:
        return LATEST_DAY
    try:
        day = date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise Refused(status, f"{text!r} is not a date such as 2026-01-31.") from error
    if not FIRST_DAY <= day <= LATEST_DAY:
        raise Refused(status, f"There are rates from {FIRST_DAY} to {LATEST_DAY}.")
    return day
