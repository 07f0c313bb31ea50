"""The mail client against a mail server that fails before, during and after taking a message over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from accounts.clients.smtp import Letter, Mailer, MailRefused, MailUnavailable
from devstack.embedded.ports import free_port
from devstack.mail.smtp import SmtpServer, serve
from devstack.mail.store import Store

SENDER = "Marketplace <alerts@marketplace.test>"
LETTER = Letter(
    UUID(int=5),
    "ada@example.test",
    "[Alert] Größe",
    ".a line that begins with a dot\n",
    datetime(2026, 11, 15, tzinfo=UTC),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def server(store: Store) -> SmtpServer:
    return SmtpServer(store.deliver)


@pytest.fixture
async def mailer(server: SmtpServer) -> AsyncIterator[Mailer]:
    listening = await serve(server)
    port = listening.sockets[0].getsockname()[1]
    yield Mailer(f"smtp://127.0.0.1:{port}", sender=SENDER, timeout_seconds=5)
    listening.close()


async def test_a_message_arrives_as_it_was_written(mailer: Mailer, store: Store, tmp_path: Path) -> None:
    await mailer.send(LETTER)
    [message] = store.messages.values()
    assert (message.subject, message.text) == ("[Alert] Größe", ".a line that begins with a dot\n")
    assert (message.recipients, message.sender) == (["ada@example.test"], "alerts@marketplace.test")
    assert message.message_id == f"<{LETTER.id}@marketplace.test>"
    assert list(Store(tmp_path).messages.values()) == [message]  # it survives a restart


async def test_a_server_that_is_not_there_is_for_later(store: Store) -> None:
    with pytest.raises(MailUnavailable, match="ConnectionRefusedError"):
        await Mailer(f"smtp://127.0.0.1:{free_port()}", sender=SENDER).send(LETTER)
    assert store.messages == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"answer_recipient": "450 mailbox busy"}, MailUnavailable),
        ({"answer_recipient": "550 no such person ada@example.test"}, MailRefused),
        ({"answer_data_begin": None}, MailUnavailable),  # hangs up during the conversation
        ({"answer_data_begin": "552 too much"}, MailRefused),
    ],
)
async def test_a_failure_before_the_message_is_taken_sends_none(
    mailer: Mailer, server: SmtpServer, store: Store, change: dict[str, Any], expected: type[Exception]
) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(expected) as failed:
        await mailer.send(LETTER)
    assert store.messages == {}
    assert "ada" not in str(failed.value)


async def test_a_failure_after_it_was_taken_is_tried_again_and_known_as_the_same_message(
    mailer: Mailer, server: SmtpServer, store: Store
) -> None:
    for answer in (None, "451 who knows"):
        server.answer_data = answer
        with pytest.raises(MailUnavailable):
            await mailer.send(LETTER)
    server.answer_data = "250 taken"
    await mailer.send(LETTER)
    assert [m.deliveries for m in store.messages.values()] == [3]


async def test_a_server_that_says_nothing_ends_in_a_timeout() -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)
        writer.close()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(MailUnavailable, match="failed"):
        await Mailer(f"smtp://127.0.0.1:{port}", sender=SENDER, timeout_seconds=0.2).send(LETTER)
    listening.close()


@pytest.mark.parametrize("url", ["http://mail", "smtp://", "mail"])
def test_an_address_that_is_none_is_said_at_the_start_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="ACCOUNTS_SMTP_URL"):
        Mailer(url, sender=SENDER)
