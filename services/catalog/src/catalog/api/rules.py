"""What this marketplace allows, as endpoints get it: main reads it from the settings."""

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from catalog.domain.openapi.limits import Limits


@dataclass(frozen=True, slots=True)
class Rules:
    """The part of the settings that decides answers."""

    moderated: bool
    allow_loopback: bool
    document_limits: Limits
    upstream_master: str | None = field(default=None, repr=False)


def _rules(request: Request) -> Rules:
    return cast("Rules", request.app.state.rules)


RulesDep = Annotated[Rules, Depends(_rules)]
