"""The mail client against a mail server that fails before, during and after taking a message over."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from accounts.clients.smtp import Letter, Mailer, MailRefused, MailUnavailable
from common.clock import SystemClock
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), SystemClock().now()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


@dataclass
class Secured:
    """A mail server that asks for a login, as `url` reaches it."""

    server: SmtpServer
    url: str

    def mailer(self, *, password: str = "p%40ss%2Fw%3Ard") -> Mailer:
        return Mailer(self.url.format(login=f"ada:{password}"), sender=SENDER, timeout_seconds=5)


@pytest.fixture(params=["smtps", "smtp+starttls"])
async def secured(request: pytest.FixtureRequest, store: Store, certificate: Path) -> AsyncIterator[Secured]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    at_once = context if request.param == "smtps" else None
    server = SmtpServer(store.deliver, login=("ada", "p@ss/w:rd"), starttls=None if at_once else context)
    listening = await serve(server, tls=at_once)
    yield Secured(server, f"{request.param}://{{login}}@127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    listening.close()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """What signed the server's certificate is among those that we trust."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


async def test_a_message_goes_encrypted_and_with_a_login(
    secured: Secured, trusted: None, store: Store
) -> None:
    await secured.mailer().send(LETTER)
    assert [m.text for m in store.messages.values()] == [LETTER.body]
    assert secured.server.credentials == [("\0ada\0p@ss/w:rd", True)]


async def test_a_refused_password_is_for_later_and_not_repeated_in_the_error(
    secured: Secured, trusted: None, store: Store
) -> None:
    with pytest.raises(MailUnavailable, match="refuses our password") as failed:
        await secured.mailer(password="wrong").send(LETTER)
    assert (store.messages, len(secured.server.credentials)) == ({}, 1)
    assert "wrong" not in str(failed.value)


async def test_a_server_that_nobody_vouches_for_is_told_nothing(secured: Secured, store: Store) -> None:
    with pytest.raises(MailUnavailable, match="SSLCertVerificationError"):
        await secured.mailer().send(LETTER)
    assert (store.messages, secured.server.credentials) == ({}, [])


async def test_a_server_that_cannot_encrypt_is_told_nothing(store: Store) -> None:
    server = SmtpServer(store.deliver, login=("ada", "secret"))
    listening = await serve(server)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(MailUnavailable):
        await Mailer(f"smtp+starttls://ada:secret@127.0.0.1:{port}", sender=SENDER).send(LETTER)
    listening.close()
    assert (store.messages, server.credentials) == ({}, [])


@pytest.mark.parametrize("url", ["http://mail", "smtp://", "mail", "smtp://ada:gr%C3%BCn@mail"])
def test_an_address_that_is_none_is_said_at_the_start_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="ACCOUNTS_SMTP_URL") as refused:
        Mailer(url, sender=SENDER)
    assert "gr" not in str(refused.value)
