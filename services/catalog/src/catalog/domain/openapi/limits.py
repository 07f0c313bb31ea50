"""How much of a document is read before it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one document. The defaults take the largest public documents; attacks need far more."""

    max_bytes: int = 5 * 1024 * 1024
    max_depth: int = 100
    max_nodes: int = 500_000  # after YAML aliases are unfolded
    max_operations: int = 5_000
    max_scope_sets: int = 100  # each is some routes in the gateway
    max_warnings: int = 50


@dataclass(frozen=True, slots=True)
class Warning:  # noqa: A001 - it is what the word says, and nobody raises it
    """A quirk that does not stop the import. `at` is a JSON pointer, `count` how often it was seen."""

    code: str
    detail: str
    at: str
    count: int = 1
