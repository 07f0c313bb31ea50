"""ETags from an aggregate's version, so that two editors do not overwrite each other."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

from common.errors import PreconditionFailed

IfMatch = Annotated[str | None, Header(description="The ETag of the state that the change was made from.")]


def etag(version: int) -> str:
    """The strong ETag of an aggregate at `version`."""
    return f'"{version}"'


def require_match(if_match: str | None, version: int) -> None:
    """PreconditionFailed when the caller names a state and it is not the present one."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag(version) not in [tag.strip() for tag in if_match.split(",")]:
        raise PreconditionFailed("It was changed since you read it: read it again and repeat your change.")
