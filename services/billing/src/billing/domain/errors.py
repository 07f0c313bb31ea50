"""What can go wrong in billing, each situation with its stable code."""

from __future__ import annotations

from common.errors import Conflict, Invalid, NotFound, PaymentRequired


class InvalidTerms(Invalid):
    """Terms of sale that this service cannot rate."""

    code = "INVALID_TERMS"


class VolumeInsideMonth(Conflict):
    """A volume price depends on the whole month: a cut inside it has no right answer."""

    code = "VOLUME_INSIDE_MONTH"


class BillingDisabled(Conflict):
    """ENABLE_BILLING is off."""

    code = "BILLING_DISABLED"


class CutoffInFuture(Invalid):
    """Nobody can know the usage up to a moment that has not come."""

    code = "CUTOFF_IN_FUTURE"


class InvoiceRunNotFound(NotFound):
    """No such run."""

    code = "INVOICE_RUN_NOT_FOUND"


class InvoiceHoldNotFound(NotFound):
    """No invoice is held under this id."""

    code = "INVOICE_HOLD_NOT_FOUND"


class InvoiceNotFound(NotFound):
    """No such invoice of this organisation."""

    code = "INVOICE_NOT_FOUND"


class InvoiceNotPayable(Conflict):
    """Only an open invoice can be paid."""

    code = "INVOICE_NOT_PAYABLE"


class IllegalTransition(Conflict):
    """The invoice's state does not allow this step."""

    code = "INVOICE_STATE"


class PaymentInProgress(Conflict):
    """Another request is paying this invoice right now."""

    code = "PAYMENT_IN_PROGRESS"


class CardDeclined(PaymentRequired):
    """The bank refused the card."""

    code = "CARD_DECLINED"


class PaymentFailed(PaymentRequired):
    """The payment did not go through for another reason than the card."""

    code = "PAYMENT_FAILED"


class PaymentMethodRefused(Invalid):
    """Stripe does not accept this payment method."""

    code = "PAYMENT_METHOD_REFUSED"


class ConnectAccountNotFound(NotFound):
    """This organisation has no account for payouts yet."""

    code = "CONNECT_ACCOUNT_NOT_FOUND"


class StripeTotalDiffers(Conflict):
    """Stripe's total is not ours: the invoice stays a draft there until somebody has looked."""

    code = "STRIPE_TOTAL_DIFFERS"


class PlatformCountryRefused(Invalid):
    """Stripe opens no account for payouts there."""

    code = "COUNTRY_REFUSED"


class InvalidSignature(Invalid):
    """The webhook is not signed by Stripe, or too old."""

    status = 400
    code = "INVALID_SIGNATURE"
