"""What comes in and what goes out."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body has been read. Header names are lower case."""

    method: str
    path: str
    query_string: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON; raises Refused(400) when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refused(400, "The body is not JSON.") from error


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, media type and body; further headers by name."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request cannot be answered as asked; becomes a problem document."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def json_answer(content: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, json.dumps(content, ensure_ascii=False).encode(), headers=headers)
