"""Structured logs: one JSON object a line, with secrets taken out before anything is written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import structlog

_SECRET_FIELD = re.compile(
    r"(?i)(secret|password|passwd|authorization|cookie|api_?key$|^key$|token$|^jwt$|credential)"
)
_SECRET_VALUE = re.compile(
    r"mk_(?:live|test)_[0-9A-Za-z]{8,}|mkp_[0-9A-Za-z]{8,}|sk_(?:live|test)_\w{4,}|whsec_\w{4,}"
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)|(?i:bearer )\S{8,}"
)
REDACTED = "[redacted]"


def redact(value: object) -> object:
    """`value` with everything that looks like a key, a token or a password replaced, at any depth."""
    if isinstance(value, str):
        return _SECRET_VALUE.sub(REDACTED, value)
    if isinstance(value, dict):
        return {k: REDACTED if _SECRET_FIELD.search(str(k)) else redact(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [redact(item) for item in value]
    return value


def _redact_event(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return cast("MutableMapping[str, Any]", redact(dict(event)))


def _text(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {
        k: v if isinstance(v, str | int | float | bool | list | dict | None) else str(v)
        for k, v in event.items()
    }


def configure_logging(service: str, level: str) -> None:
    """Every log line of this process, ours and the libraries', goes to standard error as redacted JSON."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        lambda _, __, event: {"service": service, **event},
        _text,
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
