"""Applications for tests, without making their routes anew for each."""

from __future__ import annotations

from fastapi import FastAPI

_FIRST: dict[str, FastAPI] = {}


def served(app: FastAPI) -> FastAPI:
    """An application that answers as `app` does: the first of its service, given the state of this one.

    FastAPI makes an included route when it is first looked for, and that costs more than most tests. What a test
    changes is in `app.state`; a test of other settings calls `create_app` itself.
    """
    first = _FIRST.setdefault(app.title, app)
    first.state = app.state
    return first
