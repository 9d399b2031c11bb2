"""Normalize email addresses, so that one inbox cannot have several accounts."""

import unicodedata
from contextlib import suppress

import idna


def normalize_email(text: str) -> str:
    """Return the spelling of an email address that is stored and compared.

    The spelling is lower case, with the domain in ASCII (IDNA 2008 with the mapping of UTS 46) and no trailing dot.
    `C@EXÄMPLE.de` becomes `c@xn--exmple-cua.de`. An invalid domain is not encoded, because validation refuses it."""
    local, at, domain = unicodedata.normalize("NFKC", text).strip().lower().rpartition("@")
    if not domain.isascii():
        with suppress(idna.IDNAError):
            domain = idna.encode(domain, uts46=True).decode("ascii")
    return f"{local}{at}{domain.removesuffix('.') if at else domain}"
