"""Email addresses: one spelling for each, so that one mailbox is one account."""

import unicodedata
from contextlib import suppress

import idna


def normalize_email(text: str) -> str:
    """Return the spelling under which an address is stored and compared: lower case, its domain as browsers send it.

    That is `c@xn--exmple-cua.de` for `C@EXÄMPLE.de` (IDNA 2008 with the mapping of UTS 46). The domain loses a dot at
    its end. A domain that is none stays as it was: validation has the word."""
    local, at, domain = unicodedata.normalize("NFKC", text).strip().lower().rpartition("@")
    if not domain.isascii():
        with suppress(idna.IDNAError):
            domain = idna.encode(domain, uts46=True).decode("ascii")
    return f"{local}{at}{domain.removesuffix('.') if at else domain}"
