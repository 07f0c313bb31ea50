"""Structured logs: one JSON object a line, with secrets taken out before anything is written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import structlog

_TELLING = r"secret|password|passwd|authorization|cookie|credential|api[-_]?key"
_SECRET_FIELD = re.compile(rf"(?i)({_TELLING}$|^key$|token$|^jwt$)")
_SECRET_VALUE = re.compile(
    r"mk_(?:live|test)_[0-9A-Za-z]{8,}|mkp_[0-9A-Za-z]{8,}|sk_(?:live|test)_\w{4,}|whsec_\w{4,}"
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)|(?i:(?<=bearer ))[\w.~+/=-]{8,}"
)
# `password=…` and `"password": "…"` in running text, such as an error's message.
_SECRET_ASSIGNED = re.compile(
    rf"""(?i)(\b[\w-]*(?:{_TELLING})['"]?\s*[:=]\s*['"]?|['"](?:key|jwt|\w*token)['"]:\s*['"])([^\s'",;&}}]{{4,}})"""
)
_PLAIN = (bool, int, float, type(None))
REDACTED = "[redacted]"


def redact(value: object) -> object:
    """`value` as JSON can hold it, with whatever looks like a key, a token or a password replaced, at any depth."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {
            str(redact(str(k))): REDACTED if _SECRET_FIELD.search(str(k)) else redact(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return _SECRET_ASSIGNED.sub(rf"\1{REDACTED}", _SECRET_VALUE.sub(REDACTED, str(value)))


def _redact_event(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return cast("MutableMapping[str, Any]", redact(dict(event)))


def configure_logging(service: str, level: str) -> None:
    """Every log line of this process, ours and the libraries', goes to standard error as redacted JSON."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        lambda _, __, event: {"service": service, **event},
        _redact_event,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for noisy in ("httpx", "httpcore", "aiokafka", "uvicorn.access", "alembic.runtime.migration"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_logger() -> structlog.stdlib.BoundLogger:
    """A logger: `log.info("invoice.finalized", invoice_id=...)`, a past event and its fields."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger())
