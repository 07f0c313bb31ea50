"""The secrets by which a provider knows calls that came through the gateway."""

from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from catalog.api.bodies import Body
from catalog.api.rules import RulesDep
from catalog.db import apis
from catalog.domain.api import Api
from catalog.domain.errors import ApiNotFound, UpstreamSecretsOff
from catalog.domain.upstream_secret import derive_secret
from catalog.usecases.rotate_secret import rotate_secret
from common.http.auth import OrganisationAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction

router = APIRouter(tags=["upstream secrets"])
_ERRORS = error_responses(ApiNotFound, UpstreamSecretsOff)


class Rotation(Body):
    """The epoch that is to end: a request that is repeated does not rotate twice."""

    from_epoch: Annotated[int, Field(ge=1, le=1_000_000)]


class UpstreamSecretOut(BaseModel):
    """What `X-Marketplace-Secret` holds, and what signs `X-Marketplace-Signature`. Shown here only, stored nowhere."""

    api_id: UUID
    epoch: int
    secret: str
    signing_secret: str

    @classmethod
    def of(cls, api: Api, master: str | None) -> Self:
        """The present secrets of `api`; UpstreamSecretsOff without a master."""
        if master is None:
            raise UpstreamSecretsOff
        shown = derive_secret(master, api.id, api.upstream_epoch)
        return cls(api_id=api.id, epoch=shown.epoch, secret=shown.secret, signing_secret=shown.signing_secret)


@router.post("/v1/apis/{api_id}/upstream-secret", responses=_ERRORS)
async def show_secret(
    api_id: UUID, caller: OrganisationAdmin, session: Transaction, rules: RulesDep, response: Response
) -> UpstreamSecretOut:
    """The secrets of an API of the caller's organisation. A POST, so that no cache or history keeps the answer."""
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    response.headers["Cache-Control"] = "no-store"
    return UpstreamSecretOut.of(api, rules.upstream_master)


@router.post("/v1/apis/{api_id}/upstream-secret/rotate", responses=_ERRORS)
async def rotate(
    *, api_id: UUID, body: Rotation, caller: OrganisationAdmin, session: Transaction, clock: ClockDep,
    rules: RulesDep, response: Response,
) -> UpstreamSecretOut:  # fmt: skip
    """New secrets; those of the epoch before hold beside them until the next rotation."""
    api = await apis.get_own(session, api_id, organisation_id=caller.organisation_id)
    rotated = await rotate_secret(session, api, from_epoch=body.from_epoch, now=clock.now())
    response.headers["Cache-Control"] = "no-store"
    return UpstreamSecretOut.of(rotated, rules.upstream_master)
