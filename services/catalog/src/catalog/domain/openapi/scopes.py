"""Which scopes a key needs for an operation, by the document's own words."""

import re
from typing import Any

from catalog.domain.openapi.notes import Notes
from catalog.domain.openapi.references import resolve

# RFC 6749's scope-token.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")
_MOST = 20
# Schemes whose empty list says that no scope is needed. Elsewhere it says nothing of scopes.
_SCOPED_TYPES = frozenset({"oauth2", "openIdConnect"})

Scopes = tuple[str, ...] | None


def scopes_of(tree: dict[str, Any], operation: dict[str, Any], *, at: str, notes: Notes) -> Scopes:
    """All the scopes that a restricted key needs, in order. Empty: none is needed; None: the document does not say.

    `x-scopes` of the operation decides, else its `security`, else the document's. Of alternatives the first that names
    scopes counts, unless one needs none. What cannot be read says nothing.
    """
    if "x-scopes" in operation:
        return _readable(operation["x-scopes"], f"{at}/x-scopes", notes)
    security = operation.get("security", tree.get("security"))
    if security is None:
        return None
    if not isinstance(security, list) or not all(isinstance(one, dict) for one in security):
        notes.add("SCOPES_UNREADABLE", "`security` is not a list of objects; it was ignored.", at)
        return None
    alternatives = [_of_alternative(tree, one, f"{at}/security", notes) for one in security]
    if not security or () in alternatives:
        return ()
    named = list(dict.fromkeys(found for found in alternatives if found))
    if len(named) > 1:
        notes.add(
            "SCOPES_ALTERNATIVE",
            "An operation accepts one of several sets of scopes: the first counts for restricted keys. `x-scopes` says"
            " otherwise.",
            at,
        )
    return named[0] if named else None


def _of_alternative(tree: dict[str, Any], schemes: dict[str, Any], at: str, notes: Notes) -> Scopes:
    """What one alternative asks for; a call has to satisfy all of its schemes."""
    if not schemes:
        return ()
    asked = [_readable(scopes, at, notes) for scopes in schemes.values()]
    if None in asked:
        return None
    together = {scope for scopes in asked for scope in scopes or ()}
    if not together and not any(_is_scoped(tree, name) for name in schemes):
        return None
    return tuple(sorted(together))


def _is_scoped(tree: dict[str, Any], name: str) -> bool:
    components = tree.get("components")
    declared = components.get("securitySchemes") if isinstance(components, dict) else None
    scheme = declared.get(name) if isinstance(declared, dict) else None
    if isinstance(scheme, dict) and isinstance(scheme.get("$ref"), str):
        scheme = resolve(tree, scheme["$ref"])
    return isinstance(scheme, dict) and scheme.get("type") in _SCOPED_TYPES


def _readable(asked: Any, at: str, notes: Notes) -> Scopes:
    if not isinstance(asked, list) or len(asked) > _MOST or not all(_is_scope(one) for one in asked):
        notes.add(
            "SCOPES_UNREADABLE",
            f"Scopes are a list of at most {_MOST} words without spaces; restricted keys are refused here.",
            at,
        )
        return None
    return tuple(sorted(set(asked)))


def _is_scope(text: Any) -> bool:
    return isinstance(text, str) and _SCOPE.fullmatch(text) is not None
