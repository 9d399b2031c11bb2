"""Second factors: their secrets are kept encrypted, so that a copy of the database alone makes no codes."""

import base64
import hashlib

from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings


class MFAAdapter(DefaultMFAAdapter):
    """allauth's, with secrets under a key that follows from HEADSHOTS_SECRET_KEY.

    With another key they open nothing: the accounts set their second factor up again."""

    def encrypt(self, text: str) -> str:
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises InvalidToken: no code is right, also not one of an empty secret."""
        return _cipher().decrypt(encrypted_text.encode()).decode()


def _cipher() -> Fernet:
    key = hashlib.sha256(b"headshots second factor " + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
