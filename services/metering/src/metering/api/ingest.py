"""`POST /v1/ingest/kong`: where Kong's http-log posts."""

from __future__ import annotations

import secrets
import zlib
from dataclasses import dataclass
from typing import Annotated, cast

import msgspec
from fastapi import APIRouter, Depends, Header, Request, Response

from common.http.auth import MachineAccess
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import DatabaseDep
from metering.api.schemas import IngestOut
from metering.clients.kafka_log import KafkaLog
from metering.domain.client import CountryOf
from metering.domain.errors import BatchTooLarge, EncodingUnsupported, IngestTokenWrong, LogUnavailable
from metering.metrics import INGEST_REFUSED
from metering.usecases.ingest_entries import ingest_entries

router = APIRouter(tags=["ingest"])


def _kafka_log(request: Request) -> KafkaLog:
    return cast("KafkaLog", request.app.state.kafka_log)


@dataclass(frozen=True, slots=True)
class IngestRules:
    """Who may post, what counts as ours, how much at once, and where clients are."""

    token: str
    namespace: str
    body_limit_bytes: int
    country_of: CountryOf


def _rules(request: Request) -> IngestRules:
    return cast("IngestRules", request.app.state.ingest_rules)


KafkaLogDep = Annotated[KafkaLog, Depends(_kafka_log)]
RulesDep = Annotated[IngestRules, Depends(_rules)]


@router.post(
    "/v1/ingest/kong", status_code=202, response_model=IngestOut,
    responses=error_responses(IngestTokenWrong, BatchTooLarge, EncodingUnsupported, LogUnavailable),
)  # fmt: skip
async def ingest_kong(
    request: Request, *, _: MachineAccess, db: DatabaseDep, kafka_log: KafkaLogDep, rules: RulesDep, clock: ClockDep,
    x_ingest_token: Annotated[str, Header()] = "",
) -> Response:  # fmt: skip
    """Take in one entry (an object) or many (an array), gzipped or not.

    202 means that every entry is stored or was refused for good; Kong must not send it again. 503 means the
    opposite. The body is read raw: a validating model would cost eight times the rest of this route.
    """
    if not secrets.compare_digest(x_ingest_token.encode(), rules.token.encode()):
        raise IngestTokenWrong("Send the ingest token as X-Ingest-Token.")
    body = await _body(request, limit=rules.body_limit_bytes)
    try:
        result = await ingest_entries(
            db, kafka_log, body, namespace=rules.namespace, source="http", now=clock.now(),
            country_of=rules.country_of,
        )  # fmt: skip
    except LogUnavailable:
        INGEST_REFUSED.inc()
        raise
    answer = {"accepted": result.accepted, "rejected": result.rejected, "foreign": result.foreign}
    return Response(msgspec.json.encode(answer), status_code=202, media_type="application/json")


async def _body(request: Request, *, limit: int) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise EncodingUnsupported("Send the entries plain or gzipped.")
    if int(request.headers.get("content-length", "0")) > limit:
        raise BatchTooLarge(f"At most {limit} bytes a POST: lower the queue's max_batch_size.")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BatchTooLarge(f"At most {limit} bytes a POST: lower the queue's max_batch_size.")
        chunks.append(chunk)
    packed = b"".join(chunks)
    return packed if encoding == "identity" else _unpacked(packed, limit=limit)


def _unpacked(packed: bytes, *, limit: int) -> bytes:
    """The content of a gzip file, never more than `limit` bytes of it in memory. What is no gzip is left as it is."""
    content, rest = b"", packed
    while rest:
        member = zlib.decompressobj(wbits=31)
        try:
            content += member.decompress(rest, limit + 1 - len(content))
        except zlib.error:
            return packed  # it will be refused as an entry, with its size and digest
        if len(content) > limit:
            raise BatchTooLarge(
                f"At most {limit} bytes a POST, also unpacked: lower the queue's max_batch_size."
            )
        if not member.eof:
            return packed
        rest = member.unused_data
    return content
