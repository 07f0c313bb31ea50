"""An OpenAPI document as the catalogue takes it in."""

import json
import re
from dataclasses import dataclass
from typing import Any

from catalog.domain.errors import DocumentInvalid, DocumentVersionUnsupported
from catalog.domain.openapi.limits import Limits, Warning  # noqa: A004 - our own value, see there
from catalog.domain.openapi.notes import Notes
from catalog.domain.openapi.operations import Operation, clean, operations_of
from catalog.domain.openapi.parse import parse
from catalog.domain.openapi.references import check_references

_SUPPORTED = re.compile(r"3\.[01](?:\.[0-9]{1,3})?(?:-[a-z0-9.]{1,20})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Document:
    """One document, checked: its text as JSON, the operations that it describes, and what is odd in it."""

    content: str
    openapi: str
    title: str
    operations: tuple[Operation, ...]
    warnings: tuple[Warning, ...]


def read_document(raw: bytes, *, content_type: str = "", limits: Limits | None = None) -> Document:
    """The document in `raw` (JSON or YAML), or the one clear reason why it is refused."""
    limits = limits or Limits()
    tree = parse(raw, content_type=content_type, limits=limits)
    openapi = _supported_version(tree)
    notes = Notes()
    title = _title(tree, notes)
    check_references(tree, notes)
    operations = operations_of(tree, limits=limits, notes=notes)
    _note_servers(tree, notes)
    return Document(
        # ASCII with escapes: what no database text can hold (NUL, half characters) stays as it was written.
        content=json.dumps(tree, separators=(",", ":")),
        openapi=openapi,
        title=title,
        operations=tuple(operations),
        warnings=notes.warnings()[: limits.max_warnings],
    )


def _supported_version(tree: dict[str, Any]) -> str:
    if "swagger" in tree and "openapi" not in tree:
        raise DocumentVersionUnsupported(
            f"This is Swagger {clean(str(tree['swagger']), 20)}. Convert it to OpenAPI 3 first, for"
            " example with swagger2openapi or the Swagger editor.",
            found=f"swagger {clean(str(tree['swagger']), 20)}",
        )
    version = tree.get("openapi")
    if version is None:
        raise DocumentVersionUnsupported(
            "The document has no `openapi` field: it is not an OpenAPI document."
        )
    if not _SUPPORTED.fullmatch(str(version)):
        raise DocumentVersionUnsupported(
            f"OpenAPI {clean(str(version), 20)!r} is not supported; 3.0 and 3.1 are.",
            found=clean(str(version), 20),
        )
    return str(version)


def _title(tree: dict[str, Any], notes: Notes) -> str:
    info = tree.get("info")
    if info is not None and not isinstance(info, dict):
        raise DocumentInvalid("`info` is not an object", at="/info")
    title = clean((info or {}).get("title"), 200)
    if not title or not (info or {}).get("version"):
        notes.add("INFO_INCOMPLETE", "`info` lacks its title or version.", "/info")
    return title


def _note_servers(tree: dict[str, Any], notes: Notes) -> None:
    servers = tree.get("servers")
    for server in servers if isinstance(servers, list) else ():
        url = server.get("url") if isinstance(server, dict) else None
        if isinstance(url, str) and url.startswith("http://"):
            notes.add(
                "SERVER_NOT_HTTPS",
                "A server is described by http://; the API's own base_url is used.",
                "/servers",
            )
