"""Names that become parts of the gateway's paths."""

import re

from catalog.domain.errors import BadSlug

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])", re.ASCII)
_VERSION = re.compile(r"v[0-9]{1,4}(?:[.-][a-z0-9]{1,16}){0,3}", re.ASCII)


def checked_slug(slug: str) -> str:
    """The slug itself: 2 to 50 of a-z, 0-9 and inner hyphens, and nothing that reads as a version.

    The gateway also serves the latest version without its name, `/acme/pay/…`: a slug such as `v1` would be
    one path for two things.
    """
    if not _SLUG.fullmatch(slug):
        raise BadSlug("A slug has 2 to 50 characters of a-z, 0-9 and hyphens, and no hyphen at its ends.")
    if _VERSION.fullmatch(slug):
        raise BadSlug("A slug must not look like a version (v1, v2, …).")
    return slug


def checked_version(name: str) -> str:
    """The version's name itself: v1, v2, v1.2 or v2-beta, as it stands in the gateway's path."""
    if not _VERSION.fullmatch(name):
        raise BadSlug("A version is named like v1, v2, v1.2 or v2-beta, in lower case.", field="version")
    return name
