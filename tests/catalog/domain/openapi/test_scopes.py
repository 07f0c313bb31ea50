"""Which scopes an operation asks for."""

from typing import Any

import pytest

from catalog.domain.errors import DocumentTooComplex
from catalog.domain.openapi.document import Document, read_document
from catalog.domain.openapi.limits import Limits
from tests.catalog.domain.openapi.test_document import OK, codes, read
from tests.catalog.factories import a_document

SCHEMES = {
    "oauth": {"type": "oauth2", "flows": {}},
    "sso": {"$ref": "#/components/securitySchemes/oidc"},
    "oidc": {"type": "openIdConnect", "openIdConnectUrl": "https://id.example.com"},
    "token": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
}
ABSENT = object()


def document(operation: dict[str, Any], security: Any = ABSENT) -> Document:
    tree = a_document(paths={"/a": {"get": OK | operation}}, components={"securitySchemes": SCHEMES})
    return read(tree if security is ABSENT else tree | {"security": security})


@pytest.mark.parametrize(
    ("operation", "scopes"),
    [
        ({}, None),
        ({"security": [{"oauth": ["write", "read"]}]}, ("read", "write")),
        ({"security": [{"sso": ["read"], "token": ["admin"]}]}, ("admin", "read")),
        ({"security": [{"token": ["admin"]}]}, ("admin",)),
        ({"security": [{"key": []}]}, None),  # says nothing of scopes
        ({"security": [{"token": []}]}, None),
        ({"security": [{"unheard-of": []}]}, None),
        ({"security": [{"sso": []}]}, ()),  # says that none is needed
        ({"security": []}, ()),
        ({"security": [{}]}, ()),
        ({"security": [{"oauth": ["read"]}, {}]}, ()),
        ({"security": [{"key": []}, {"oauth": ["read"]}]}, ("read",)),
        ({"security": [{"oauth": ["https://a.example.com/x,y"]}]}, ("https://a.example.com/x,y",)),
        ({"security": [{"oauth": ["read"]}], "x-scopes": ["other", "other"]}, ("other",)),
        ({"security": [{"oauth": ["read"]}], "x-scopes": []}, ()),
    ],
)
def test_the_operation_says_what_it_asks_for(
    operation: dict[str, Any], scopes: tuple[str, ...] | None
) -> None:
    found = document(operation)
    assert (found.operations[0].scopes, codes(found)) == (scopes, {})


def test_where_the_operation_says_nothing_the_document_does() -> None:
    everywhere = [{"oauth": ["read"]}]
    assert document({}, everywhere).operations[0].scopes == ("read",)
    assert document({"security": []}, everywhere).operations[0].scopes == ()


def test_of_alternatives_the_first_that_names_scopes_counts_and_the_provider_hears_of_it() -> None:
    found = document({"security": [{"key": []}, {"oauth": ["read"]}, {"oauth": ["admin"]}]})
    assert (found.operations[0].scopes, codes(found)) == (("read",), {"SCOPES_ALTERNATIVE": 1})
    said = document({"security": [{"oauth": ["read"]}, {"oauth": ["admin"]}], "x-scopes": ["admin"]})
    assert (said.operations[0].scopes, codes(said)) == (("admin",), {})


@pytest.mark.parametrize(
    "operation",
    [
        {"security": "oauth"},
        {"security": ["oauth"]},
        {"security": [{"oauth": "read"}]},
        {"security": [{"oauth": ["read all"], "token": ["x"]}]},
        {"security": [{"oauth": ["é"]}]},
        {"security": [{"oauth": [""]}]},
        {"security": [{"oauth": [1]}]},
        {"security": [{"oauth": ["x" * 129]}]},
        {"x-scopes": "read"},
        {"x-scopes": [f"s{n}" for n in range(21)]},
    ],
)
def test_what_cannot_be_read_is_open_to_no_restricted_key(operation: dict[str, Any]) -> None:
    found = document(operation, [])
    assert (found.operations[0].scopes, codes(found)) == (None, {"SCOPES_UNREADABLE": 1})


def test_the_sets_of_scopes_are_bounded() -> None:
    paths = {f"/{n}": {"get": OK | {"x-scopes": [f"s{n % 3}"]}} for n in range(9)}
    raw = a_document(paths=paths)
    assert len(read(raw, max_scope_sets=3).operations) == 9
    with pytest.raises(DocumentTooComplex, match="sets of scopes"):
        read(raw, max_scope_sets=2)
    assert read_document(b'{"openapi":"3.0.0","paths":{"/a":{"get":{}}}}', limits=Limits()).operations
