"""Every metric of accounts; labels come from small closed sets."""

from __future__ import annotations

from prometheus_client import Counter

TOKENS_ISSUED = Counter("accounts_tokens_issued_total", "Platform tokens signed.", ["subject_token", "seat"])
TOKENS_REFUSED = Counter("accounts_tokens_refused_total", "Token exchanges refused.", ["code"])
ISSUER_KEY_FETCHES = Counter(
    "accounts_issuer_key_fetches_total", "Fetches of the OIDC issuer's keys.", ["outcome"]
)
ORGANISATIONS_FOUNDED = Counter("accounts_organisations_founded_total", "Organisations founded.")
MAILS = Counter("accounts_mails_total", "Messages to people, by what became of them.", ["outcome"])
AUDIT_ENTRIES = Counter("accounts_audit_entries_total", "Deeds put on record.", ["action"])
