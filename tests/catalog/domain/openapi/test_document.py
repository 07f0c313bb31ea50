import json
from typing import Any

import pytest
import yaml

from catalog.domain.errors import (
    DocumentInvalid,
    DocumentTooComplex,
    DocumentUnreadable,
    DocumentVersionUnsupported,
    ExternalReference,
    NoOperations,
)
from catalog.domain.openapi.document import Document, read_document
from catalog.domain.openapi.limits import Limits
from tests.catalog.factories import a_document


def read(tree: dict[str, Any], **limits: int) -> Document:
    return read_document(json.dumps(tree).encode(), limits=Limits(**limits))


def with_paths(paths: Any, **more: Any) -> dict[str, Any]:
    return a_document(paths=paths, **more)


def codes(document: Document) -> dict[str, int]:
    return {warning.code: warning.count for warning in document.warnings}


OK = {"responses": {"200": {"description": "ok"}}}


def test_operations_come_in_the_document_s_order() -> None:
    document = read(a_document())
    assert [(o.method, o.path, o.operation_id) for o in document.operations] == [
        ("GET", "/rates/{currency}", "getRate"),
        ("GET", "/rates", "listRates"),
    ]
    assert document.operations[0].parameters[0].name == "currency"
    assert document.operations[0].responses == ("200",)
    assert document.warnings == ()


def test_yaml_and_json_of_the_same_document_are_read_alike() -> None:
    tree = a_document()
    assert read_document(yaml.safe_dump(tree, sort_keys=False).encode()) == read(tree)


@pytest.mark.parametrize("version", ["3.0.0", "3.0.3", "3.0", "3.1.0", "3.1.1", "3.0.0-rc1"])
def test_openapi_3_0_and_3_1_are_taken(version: str) -> None:
    assert read(a_document(openapi=version)).openapi == version


@pytest.mark.parametrize("version", ["2.0", "3.2.0", "4.0.0", "", "x", "3", None, 30, ["3.0.3"], "3.0.3\n"])
def test_other_versions_are_refused(version: Any) -> None:
    with pytest.raises(DocumentVersionUnsupported):
        read(a_document(openapi=version))


def test_swagger_2_is_refused_with_the_way_out() -> None:
    tree = a_document()
    del tree["openapi"]
    with pytest.raises(DocumentVersionUnsupported, match=r"Swagger 2\.0.*Convert"):
        read(tree | {"swagger": "2.0"})


def test_a_yaml_number_as_version_is_understood() -> None:
    text = "openapi: 3.1\ninfo: {title: T, version: 1}\npaths: {/a: {get: {responses: {200: {description: ok}}}}}"
    assert read_document(text.encode()).openapi == "3.1"


def test_what_is_no_openapi_document_is_refused() -> None:
    with pytest.raises(DocumentVersionUnsupported, match="openapi"):
        read({"hello": "world"})


@pytest.mark.parametrize("paths", [{}, {"/a": {}}, {"/a": {"summary": "none"}}, {"x-note": {"get": OK}}])
def test_a_document_without_operations_is_refused(paths: Any) -> None:
    with pytest.raises(NoOperations):
        read(with_paths(paths))


@pytest.mark.parametrize(
    ("paths", "at"),
    [
        ([], "/paths"),
        ({"/a": []}, "/paths/~1a"),
        ({"/a": {"get": "x"}}, "/paths/~1a/get"),
        ({"/a": {"$ref": "#/components/pathItems/none"}}, "/paths/~1a"),
        ({"/a\x00b": {"get": OK}}, "/paths/~1a\x00b"),
        ({"/" + "a" * 1001: {"get": OK}}, "/paths"),
    ],
)
def test_what_yields_no_endpoint_is_refused_by_its_place(paths: Any, at: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        read(with_paths(paths))
    assert str(refused.value.members["at"]).startswith(at)


def test_parameters_of_the_path_are_inherited_and_overridden() -> None:
    path = [{"name": "id", "in": "path"}, {"name": "q", "in": "query"}]
    own = [{"name": "q", "in": "query", "required": True}]
    operation = read(
        with_paths({"/a/{id}": {"parameters": path, "get": OK | {"parameters": own}}})
    ).operations[0]
    assert [(p.name, p.location, p.required) for p in operation.parameters] == [
        ("id", "path", True),
        ("q", "query", True),
    ]


def test_references_inside_the_document_are_followed() -> None:
    components = {
        "parameters": {"Id": {"$ref": "#/components/parameters/Real"}, "Real": {"name": "id", "in": "path"}},
        "requestBodies": {"B": {"content": {"application/json": {}}}},
    }
    item = {"post": OK | {"parameters": [{"$ref": "#/components/parameters/Id"}],
                          "requestBody": {"$ref": "#/components/requestBodies/B"}}}  # fmt: skip
    document = read(with_paths({"/a/{id}": item}, components=components))
    assert document.operations[0].parameters[0].name == "id"
    assert document.operations[0].request_types == ("application/json",)
    assert codes(document) == {}


def test_references_in_a_circle_end() -> None:
    loop = {"A": {"$ref": "#/components/parameters/B"}, "B": {"$ref": "#/components/parameters/A"}}
    item = {"get": OK | {"parameters": [{"$ref": "#/components/parameters/A"}]}}
    assert "PARAMETER_UNREADABLE" in codes(read(with_paths({"/a": item}, components={"parameters": loop})))


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:9/x",
        "https://example.com/s.json#/A",
        "other.yaml#/A",
        "file:///etc/passwd",
        "../x",
        "//h/x",
    ],
)
@pytest.mark.parametrize("place", ["schema", "path", "parameter"])
def test_references_out_of_the_document_are_refused_wherever_they_stand(reference: str, place: str) -> None:
    ref = {"$ref": reference}
    tree = {
        "schema": a_document(components={"schemas": {"A": {"properties": {"b": ref}}}}),
        "path": with_paths({"/a": ref}),
        "parameter": with_paths({"/a": {"get": OK | {"parameters": [ref]}}}),
    }[place]
    with pytest.raises(ExternalReference, match="bundle"):
        read(tree)


def test_a_reference_in_an_example_is_just_an_example() -> None:
    read(a_document(components={"schemas": {"A": {"example": {"$ref": "http://example.com"}}}}))


def test_a_property_named_ref_is_a_property() -> None:
    read(a_document(components={"schemas": {"A": {"properties": {"$ref": {"type": "string"}}}}}))


def test_references_that_lead_nowhere_are_noted() -> None:
    schemas = {"A": {"$ref": "#/components/schemas/None"}, "B": {"$ref": "#/components/schemas/None"}}
    assert codes(read(a_document(components={"schemas": schemas}))) == {"REFERENCE_UNRESOLVED": 2}


def test_anchors_of_openapi_3_1_are_found() -> None:
    schemas = {"A": {"$anchor": "a"}, "B": {"$ref": "#a"}}
    assert codes(read(a_document(openapi="3.1.0", components={"schemas": schemas}))) == {}


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        ({"a": {"get": OK}}, "PATH_WITHOUT_SLASH"),
        ({"/a#x": {"get": OK}}, "PATH_WITH_SUFFIX"),
        ({"/a?x=1": {"get": OK}}, "PATH_WITH_SUFFIX"),
        ({"/a": {"get": {}}}, "RESPONSES_MISSING"),
        ({"/a/{id}": {"get": OK}}, "PATH_PARAMETER_UNDECLARED"),
        ({"/a": {"get": OK | {"parameters": [{"name": "id", "in": "path"}]}}}, "PATH_PARAMETER_UNUSED"),
        ({"/a": {"get": OK | {"parameters": {"x": 1}}}}, "PARAMETERS_UNREADABLE"),
        ({"/a": {"get": OK | {"parameters": ["x", {"name": "b", "in": "body"}]}}}, "PARAMETER_UNREADABLE"),
        (
            {"/a": {"get": OK | {"operationId": "o"}, "put": OK | {"operationId": "o"}}},
            "OPERATION_ID_REPEATED",
        ),
        ({"/a#x": {"get": OK}, "/a#y": {"get": OK}}, "PATHS_OVERLAP"),
    ],
)
def test_quirks_are_noted_and_taken(paths: Any, code: str) -> None:
    document = read(with_paths(paths))
    assert code in codes(document)
    assert document.operations[0].path.startswith("/")


def test_an_incomplete_info_and_plain_http_servers_are_noted() -> None:
    document = read(a_document(info={"title": "T"}, servers=[{"url": "http://a.example"}, "odd", {"url": 7}]))
    assert codes(document) == {"INFO_INCOMPLETE": 1, "SERVER_NOT_HTTPS": 1}


def test_info_that_is_no_object_is_refused() -> None:
    with pytest.raises(DocumentInvalid):
        read(a_document(info="Rates"))


def test_a_document_of_too_many_operations_is_refused() -> None:
    paths = {f"/a{n}": {"get": OK} for n in range(11)}
    with pytest.raises(DocumentTooComplex):
        read(with_paths(paths), max_operations=10)


def test_texts_that_no_database_holds_are_cleaned_in_endpoints_and_kept_in_the_document() -> None:
    document = read_document(
        b'{"openapi":"3.0.3","info":{"title":"T","version":"1"},"paths":{"/a":{"get":{"summary":"a\\u0000b\\ud800c",'
        b'"responses":{"200":{}}}}}}'
    )
    assert document.operations[0].summary == "abc"
    assert "\\u0000" in document.content
    assert document.content.isascii()


@pytest.mark.parametrize("odd", [7, [], "x", None, {"a": 1}, True])
def test_odd_values_anywhere_are_a_refusal_or_a_warning_never_a_crash(odd: Any) -> None:
    keys = ["info", "paths", "components", "servers", "tags", "security"]
    trees = [a_document(**{key: odd}) for key in keys]
    operation = ["parameters", "responses", "requestBody", "tags", "operationId", "summary", "deprecated"]
    trees += [with_paths({"/a": {"get": OK | {key: odd}}}) for key in operation]
    trees += [
        with_paths({"/a": {"parameters": odd, "get": OK}}),
        with_paths({"/a": {"get": OK, "servers": odd}}),
    ]
    for tree in trees:
        try:
            read(tree)
        except (DocumentInvalid, NoOperations, DocumentUnreadable):
            continue
