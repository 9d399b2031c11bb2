"""Email backend that writes each message to a private file below the data folder."""

import logging
from pathlib import Path

from django.core.mail.backends.filebased import EmailBackend

logger = logging.getLogger(__name__)


class PrivateFileEmailBackend(EmailBackend):
    """A backend that writes each message to a file that only this user can read.

    The log names the file, never the email address."""

    def open(self) -> bool:
        opened = bool(super().open())
        if opened:
            path = Path(self.stream.name)
            path.chmod(0o600)
            path.parent.chmod(0o700)
            logger.info("email written to %s", path)
        return opened
