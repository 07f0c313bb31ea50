"""The mail server: one message, one connection. Its errors end here, without the address that they may quote."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class MailUnavailable(Exception):
    """The server does not answer, or not now: the message may or may not be on its way. Try again later."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MailRefused(Exception):
    """The server will not take this message, now or later."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to one address; `id` makes its Message-ID, so that the same one sent twice is known as one."""

    id: UUID
    address: str
    subject: str
    body: str
    written_at: datetime


class Mailer:
    """Sends by `url`: `smtp://`, `smtp+starttls://` or `smtps://`, perhaps with `user:password@` (percent-encoded).

    `sender` is what stands in From. Every step of a conversation takes at most `timeout_seconds`.
    """

    def __init__(self, url: str, *, sender: str, timeout_seconds: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("ACCOUNTS_SMTP_URL must be smtp://, smtp+starttls:// or smtps:// and a host")
        self._scheme, self._host = parts.scheme, parts.hostname
        self._port = parts.port or _PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        if not (self._user + self._password).isascii():  # smtplib writes nothing else
            raise ValueError("ACCOUNTS_SMTP_URL: user and password must be ASCII")
        self._sender, self._timeout = sender, timeout_seconds
        self._domain = parseaddr(sender)[1].rpartition("@")[2]

    async def send(self, letter: Letter) -> None:
        """The server has taken the message over. Raises MailUnavailable or MailRefused."""
        await asyncio.to_thread(self._send, letter)

    def _send(self, letter: Letter) -> None:
        try:
            server = self._connect()
            try:
                server.send_message(self._message(letter))
            finally:
                # What is said from here on changes nothing about the message.
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()
        except smtplib.SMTPRecipientsRefused as error:
            ((code, _),) = error.recipients.values()
            raise _verdict(code) from None
        except smtplib.SMTPAuthenticationError as error:
            # Our password, not this message: it waits until somebody mends that.
            raise MailUnavailable(f"the mail server refuses our password ({error.smtp_code})") from None
        except smtplib.SMTPResponseException as error:
            raise _verdict(error.smtp_code) from None
        except (smtplib.SMTPException, OSError) as error:
            raise MailUnavailable(f"the mail server failed: {type(error).__name__}") from None

    def _connect(self) -> smtplib.SMTP:
        if self._scheme == "smtps":
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout, context=context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        try:
            if self._scheme == "smtp+starttls":
                server.starttls(context=ssl.create_default_context())
            if self._user:
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["Message-ID"] = f"<{letter.id}@{self._domain}>"
        message["Date"] = format_datetime(letter.written_at)
        message["From"], message["To"], message["Subject"] = self._sender, letter.address, letter.subject
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message.set_content(letter.body)
        return message


def _verdict(code: int) -> MailUnavailable | MailRefused:
    if 500 <= code < 600:
        return MailRefused(f"the mail server refuses the message ({code})")
    return MailUnavailable(f"the mail server does not take the message now ({code})")
