"""Sign pictures with Content Credentials (C2PA), and read Content Credentials.

The manifest contains the digital source type and the name of this software. It contains no thumbnail, no ingredient, no
customer name. Reading never uses the network. Signing uses it only if the identity has a time-stamp authority.
"""

import datetime
import io
import json
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.errors import SigningFailed
from pipeline.files.time_authority import TimeAuthority
from pipeline.types import DigitalSource

if TYPE_CHECKING:
    import c2pa
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import CertificateBuilder, Name

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATOR = "Headshots"
ALGORITHM = b"es256"
TEST_DAYS = 365

SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
        # Verifying here would repeat work, because files are verified when they are read.
        "verify_after_sign": False,
    },
}


@dataclass(frozen=True)
class Identity:
    """The key and certificates that sign pictures.

    The leaf certificate names only the operator.

    Attributes:
        key: P-256 private key as PEM.
        certificates: certificate chain as PEM, leaf first.
        time_authority: authority that confirms when a signature was made, or None.
    """

    key: bytes = field(repr=False)
    certificates: bytes = field(repr=False)
    time_authority: TimeAuthority | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Credential:
    """The content of a file's manifest, and the result of its verification.

    Attributes:
        intact: True if the signature and the pixels match.
        trusted: True if a known authority issued the certificate.
        digital_source: last part of the URL of the IPTC source type.
        generator: name of the software that made the manifest.
        signed_by: organization in the signing certificate.
        faults: C2PA status codes of the problems found.
        time: when the signature existed according to a time-stamp authority, ISO 8601. None without a valid time stamp.
        time_trusted: True if a known authority issued the time stamp.
    """

    intact: bool
    trusted: bool
    digital_source: str | None
    generator: str | None
    signed_by: str | None
    faults: tuple[str, ...] = ()
    time: str | None = None
    time_trusted: bool = False


def load_identity(key: bytes, certificates: bytes) -> Identity:
    """Verify an operator's key and certificates, and return them as an identity.

    Raises SigningFailed if the key is not a P-256 key, or if the key and the certificates do not match. Raises it also
    if the leaf certificate is self-signed or not valid today."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        private = serialization.load_pem_private_key(key, password=None)
        leaf, *authorities = x509.load_pem_x509_certificates(certificates)
    except (ValueError, TypeError) as error:
        raise SigningFailed("The key or the certificates are not valid PEM.") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise SigningFailed("The key must be an EC key on the curve P-256.")
    if private.public_key() != leaf.public_key():
        raise SigningFailed("The first certificate belongs to another key.")
    if leaf.issuer == leaf.subject:
        raise SigningFailed(
            "The first certificate is self-signed, but Content Credentials need one issued by an authority."
        )
    if not leaf.not_valid_before_utc <= datetime.datetime.now(datetime.UTC) < leaf.not_valid_after_utc:
        valid = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
        raise SigningFailed(f"The first certificate is valid from {valid}.")
    try:
        for issued, authority in pairwise([leaf, *authorities]):
            issued.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise SigningFailed("Each certificate must be followed by the certificate of its issuer.") from error
    return Identity(key, certificates)


def sign(data: bytes, mime: str, source: DigitalSource, identity: Identity) -> bytes:
    """Return the file with an embedded signed manifest.

    Contains a trusted time if the identity has a time-stamp authority and it answers in time. Signing the same file
    twice gives different bytes. Raises SigningFailed."""
    authority = identity.time_authority
    if authority is not None and (url := authority.relay_url()):
        try:
            return _sign(data, mime, source, identity, url)
        except SigningFailed:
            authority.pause()
    return _sign(data, mime, source, identity, None)


def _sign(data: bytes, mime: str, source: DigitalSource, identity: Identity, time_url: str | None) -> bytes:
    import c2pa

    manifest = {
        "claim_generator_info": [{"name": GENERATOR}],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {
                    "actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPES + source}],
                    "allActionsIncluded": True,
                },
            }
        ],
    }
    # None means no timestamp authority. With "" the library would contact one over the network.
    info = c2pa.C2paSignerInfo(ALGORITHM, identity.certificates, identity.key, time_url)
    signed = io.BytesIO()
    try:
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(manifest, context=_context()) as builder:
            builder.sign(signer, mime, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise SigningFailed(f"The picture cannot be signed with this key and certificate: {error}") from error
    return signed.getvalue()


def check_signing(identity: Identity) -> None:
    """Verify that the key and certificates work, by signing a picture of 8 x 8 pixels and reading its credential.

    Raises SigningFailed if C2PA rejects the key or the certificates."""
    from PIL import Image

    blank = io.BytesIO()
    Image.new("RGB", (8, 8)).save(blank, "JPEG")
    credential = read_credential(sign(blank.getvalue(), "image/jpeg", DigitalSource.COMPOSITE, identity))
    if credential is None or not credential.intact:
        faults = ", ".join(credential.faults) if credential else "no credential"
        raise SigningFailed(f"Files signed with this key and certificate are not valid: {faults}")


def read_credential(data: bytes) -> Credential | None:
    """Return the content of a file's manifest, verified against the pixels. Returns None if there is no manifest.

    Raises SigningFailed if the file cannot be searched for a manifest."""
    import c2pa

    try:
        with c2pa.Reader(None, io.BytesIO(data), context=_context()) as reader:
            report = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        raise SigningFailed(f"The file's credentials cannot be read: {error}") from error
    manifest = report["manifests"][report["active_manifest"]]
    actions = [
        action
        for assertion in manifest.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    kinds = [str(action["digitalSourceType"]) for action in actions if "digitalSourceType" in action]
    generators = manifest.get("claim_generator_info") or [{}]
    passed = report.get("validation_results", {}).get("activeManifest", {})
    codes = {status["code"] for kind in ("success", "informational") for status in passed.get(kind, [])}
    return Credential(
        intact=report.get("validation_state") in ("Valid", "Trusted"),
        trusted=report.get("validation_state") == "Trusted",
        digital_source=kinds[0].rsplit("/", 1)[-1] if kinds else None,
        generator=generators[0].get("name"),
        signed_by=manifest.get("signature_info", {}).get("issuer"),
        faults=tuple(status["code"] for status in report.get("validation_status", [])),
        time=manifest.get("signature_info", {}).get("time") if "timeStamp.validated" in codes else None,
        time_trusted="timeStamp.trusted" in codes,
    )


@cache
def _context() -> "c2pa.Context":
    import c2pa

    return c2pa.Context(settings=c2pa.Settings.from_dict(SETTINGS))


def make_test_identity(operator: str) -> Identity:
    """Create a new key with a test certificate that proves nothing, for tests and trials.

    A test authority issues the certificate, because C2PA rejects self-signed leaf certificates."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = _name("Headshots test authority, proves nothing", "Headshots test")
    issuing = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    authority = (
        _certificate(authority_name, authority_name, authority_key, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(issuing, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    signing = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    leaf = (
        _certificate(_name("Test certificate, proves nothing", operator), authority_name, key, authority_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(signing, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Identity(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        leaf.public_bytes(pem) + authority.public_bytes(pem),
    )


def _name(common_name: str, organization: str) -> "Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [(NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, common_name)]
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


def _certificate(
    subject: "Name", issuer: "Name", key: "EllipticCurvePrivateKey", issuer_key: "EllipticCurvePrivateKey"
) -> "CertificateBuilder":
    """Return a builder of a certificate for the key, valid from now for TEST_DAYS.

    The caller adds the key usage and signs the certificate."""
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=TEST_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
