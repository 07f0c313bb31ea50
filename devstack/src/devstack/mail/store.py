"""The messages, each a file. A repeat is known by its Message-ID, as a mailbox knows it."""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.mail.smtp import Envelope


@dataclass(slots=True)
class Stored:
    """A message; `deliveries` counts how often it came."""

    id: str
    message_id: str
    sender: str
    recipients: list[str]
    subject: str
    date: str
    text: str
    deliveries: int


class Store:
    """Messages in a folder, in the order in which they first came."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        self.messages = {path.stem: Stored(**json.loads(path.read_text(encoding="utf-8"))) for path in found}

    def deliver(self, envelope: Envelope, content: bytes) -> None:
        """The message is stored, once for each Message-ID and recipient."""
        message = email.message_from_bytes(content, policy=email.policy.default)
        message_id = str(message["Message-ID"] or "")
        known_by = message_id.encode() or content
        name = hashlib.sha256(b"\n".join([known_by, *(r.encode() for r in envelope.recipients)])).hexdigest()[
            :16
        ]
        stored = self.messages.get(name)
        if stored is None:
            body = message.get_body(("plain",))
            stored = self.messages[name] = Stored(
                name, message_id, envelope.sender, envelope.recipients, str(message["Subject"] or ""),
                str(message["Date"] or ""), body.get_content().replace("\r\n", "\n") if body else "", 0,
            )  # fmt: skip
        stored.deliveries += 1
        (self._folder / f"{name}.json").write_text(json.dumps(asdict(stored), indent=1), encoding="utf-8")

    def clear(self) -> None:
        """There are no messages."""
        for name in self.messages:
            (self._folder / f"{name}.json").unlink(missing_ok=True)
        self.messages.clear()
