"""A notice as a mail, by SMTP with TLS.

Headers are made by the standard library from text that holds no line ends, so that nothing of an
image adds one (RFC 5322, section 2.2).
"""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from layerproof.engine.notices import Notice
from layerproof.errors import UnreachableError
from layerproof.notifiers.webhook import as_text

_SECONDS = 20.0


class Mail:
    """One server and its receivers. `security`: `tls` from the start, `starttls`, or `none` for a
    relay on this machine."""

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        receivers: tuple[str, ...],
        *,
        security: str = "starttls",
        user: str = "",
        password: str = "",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._sender, self._receivers = sender, receivers
        self._security = security
        self._user, self._password = user, password
        self._context = context

    @property
    def name(self) -> str:
        """Kind and host."""
        return f"mail {self._host}"

    def send(self, notice: Notice) -> None:
        """Raises UnreachableError."""
        message = self.message(notice)
        try:
            with self._connected() as server:
                if self._user:
                    server.login(self._user, self._password)
                server.send_message(message, self._sender, list(self._receivers))
        except (OSError, smtplib.SMTPException) as error:
            code = getattr(error, "smtp_code", "")
            said = f"{type(error).__name__} {code}".strip()  # its text may repeat what was sent
            raise UnreachableError(f"not sent: {said}", where=self.name) from None

    def message(self, notice: Notice) -> EmailMessage:
        """The mail."""
        message = EmailMessage()
        message["Subject"] = f"[layerproof] {notice.urgency}: {notice.title}"
        message["From"] = self._sender
        message["To"] = ", ".join(self._receivers)
        message["Date"] = format_datetime(notice.at)
        message["Message-ID"] = make_msgid(domain="layerproof.invalid")
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5
        message.set_content(as_text(notice))
        return message

    def _connected(self) -> smtplib.SMTP:
        context = self._context or ssl.create_default_context()
        if self._security == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=_SECONDS, context=context)
        server = smtplib.SMTP(self._host, self._port, timeout=_SECONDS)
        if self._security == "starttls":
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server
