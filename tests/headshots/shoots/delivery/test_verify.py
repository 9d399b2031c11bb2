"""/verify/: anybody may read what a picture says about itself; nothing is kept or fetched, nobody may ask too often."""

import io
import resource
import socket
import sys
from contextlib import suppress
from dataclasses import replace

import c2pa
import pytest
from django.conf import LazySettings
from django.conf import settings as product
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from headshots.engine.configuration import watermark_keys
from headshots.vault.models import Blob
from headshots.web.budgets import Budget
from pipeline.errors import PhotoRefused, SigningFailed
from pipeline.files.finish import MIME, XMP, encode
from pipeline.files.provenance import read_untrusted_provenance
from pipeline.files.signing import SOURCE_TYPES, make_test_identity, sign
from pipeline.files.watermark import embed
from pipeline.files.xmp import JPEG_XMP, image_type
from pipeline.types import DigitalSource
from tests.helpers import photos
from tests.helpers.uploads import jpeg_segment, save

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def signed() -> bytes:
    source = DigitalSource.COMPOSITE_WITH_TRAINED
    return sign(encode(photos.astronaut(), source), MIME["jpeg"], source, make_test_identity("A studio in Testing"))


def ask(client: Client, data: bytes) -> tuple[int, str]:
    response = client.post("/verify/", {"picture": SimpleUploadedFile("picture.jpg", data)})
    return response.status_code, " ".join(response.content.decode().split())


def test_a_stranger_reads_what_a_headshot_says(client: Client, signed: bytes) -> None:
    status, page = ask(client, signed)

    assert status == 200
    assert "with the help of an AI model" in page
    assert "Signed by “A studio in Testing”, and unchanged since" in page
    assert "No authority that we trust" in page


def test_a_changed_file_is_found_out(client: Client, signed: bytes) -> None:
    changed = bytearray(signed)
    changed[-2000] ^= 1

    status, page = ask(client, bytes(changed))

    assert status == 200
    assert "the file has been changed since" in page


def test_an_unsigned_mark_is_called_that(client: Client) -> None:
    _, page = ask(client, encode(photos.astronaut(), DigitalSource.COMPOSITE))

    assert "without generative AI" in page
    assert "anyone could have written it" in page


def test_a_picture_without_marks_proves_nothing(client: Client) -> None:
    status, page = ask(client, photos.encode(photos.astronaut()))

    assert status == 200
    assert "doesn’t say how it was made" in page


def test_the_watermark_tells_where_the_metadata_is_gone(client: Client) -> None:
    pixels = embed(photos.astronaut(), watermark_keys()[0], "studio")

    status, page = ask(client, photos.encode(pixels))

    assert status == 200
    assert "This picture was made here" in page


def test_the_watermark_of_an_older_key_is_found(client: Client, settings: LazySettings) -> None:
    pixels = embed(photos.astronaut(), b"an older key of this shop", "studio")
    settings.HEADSHOTS_WATERMARK_KEYS = ["a newer key of this shop", "an older key of this shop"]

    assert "This picture was made here" in ask(client, photos.encode(pixels))[1]


def test_programs_get_the_same_as_json(signed: bytes) -> None:
    client = Client(enforce_csrf_checks=True)

    response = client.post("/verify.json", {"picture": SimpleUploadedFile("picture.jpg", signed)})

    found = response.json()
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert (found["digital_source"], found["watermark"]) == ("compositeWithTrainedAlgorithmicMedia", None)
    assert found["credential"]["intact"]
    assert not found["credential"]["trusted"]


def test_programs_are_told_what_is_wrong(client: Client) -> None:
    missing = client.post("/verify.json")
    refused = client.post("/verify.json", {"picture": SimpleUploadedFile("picture.jpg", b"no picture")})
    with Budget("verify", total=1, per_holder=1, lease_seconds=15).hold(holder="127.0.0.1"):
        busy = client.post("/verify.json", {"picture": SimpleUploadedFile("picture.jpg", b"no picture")})

    assert (missing.status_code, missing.json()) == (422, {"error": "Please choose a picture."})
    assert (refused.status_code, refused.json()) == (422, {"error": "This file isn't a JPEG, PNG or WebP picture."})
    assert (busy.status_code, busy["Retry-After"]) == (503, "5")
    assert client.get("/verify.json").status_code == 405


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 broken"])
def test_what_is_no_picture_is_told_so(client: Client, data: bytes) -> None:
    status, page = ask(client, data)

    assert status == 422
    assert "What we found" not in page


@pytest.mark.parametrize("data", [b"no picture", b"%PDF-1.7", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_other_formats_are_refused_in_plain_words_before_a_process_starts(
    client: Client, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    # Without an interpreter to start, a process would be an error.
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    status, page = ask(client, data)

    assert status == 422
    assert "a JPEG, PNG or WebP picture" in page


def test_the_words_of_the_issue_cost_no_time(client: Client) -> None:
    """420 kB of one word held a processor for 20 s."""
    plain = photos.encode(photos.astronaut())
    attack = (
        plain[:2] + jpeg_segment(JPEG_XMP + b"DigitalSourceType" * 3800) + plain[2:] + b"DigitalSourceType" * 25_000
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    status, _ = ask(client, attack)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert status == 200
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


def test_when_all_places_are_taken_the_page_says_so_and_no_process_starts(
    client: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, signed: bytes
) -> None:
    settings.HEADSHOTS_LIMITS = replace(settings.HEADSHOTS_LIMITS, max_concurrent_verifications=1)
    with monkeypatch.context() as patch, Budget("verify", total=1, lease_seconds=15).hold():
        patch.setattr(sys, "executable", "/nowhere/python")
        busy = client.post("/verify/", {"picture": SimpleUploadedFile("picture.jpg", signed)})
    status, _ = ask(client, signed)

    assert (busy.status_code, busy["Retry-After"]) == (503, "5")
    assert "Please try again in a few seconds" in busy.content.decode()
    assert status == 200


def test_one_address_takes_one_place_and_leaves_the_others(client: Client, signed: bytes) -> None:
    with Budget("verify", total=2, lease_seconds=15).hold(holder="127.0.0.1"):
        status, _ = ask(client, signed)
        of_another, _ = ask(Client(REMOTE_ADDR="203.0.113.7"), signed)

    assert (status, of_another) == (503, 200)


def test_a_reader_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, signed: bytes) -> None:
    monkeypatch.setattr("pipeline.files.provenance.SECONDS", 0.05)

    with pytest.raises(SigningFailed):
        read_untrusted_provenance(signed)


def test_nothing_is_kept_and_nothing_is_cached(client: Client, signed: bytes) -> None:
    response = client.post("/verify/", {"picture": SimpleUploadedFile("picture.jpg", signed)})

    assert not Blob.objects.exists()
    assert response["Cache-Control"] == "no-store"


def test_nobody_may_ask_too_often(client: Client, settings: object) -> None:
    settings.ACCOUNT_RATE_LIMITS = product.ACCOUNT_RATE_LIMITS | {"verify": "2/m/ip"}  # type: ignore[attr-defined]

    statuses = [ask(client, b"no picture")[0] for _ in range(3)]

    assert statuses == [422, 422, 429]


def test_a_manifest_that_lies_elsewhere_is_not_fetched() -> None:
    asked: list[tuple[str, int]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        manifest = {"assertions": [], "claim_generator_info": [{"name": "Somebody"}]}
        address = f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa"
        identity = make_test_identity("Somebody")
        info = c2pa.C2paSignerInfo(b"es256", identity.certificates, identity.key, None)
        elsewhere = io.BytesIO()
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(manifest) as builder:
            builder.set_no_embed()
            builder.set_remote_url(address)
            builder.set_intent(c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.COMPOSITE)
            builder.sign(signer, "image/jpeg", io.BytesIO(photos.encode(photos.astronaut())), elsewhere)

        with suppress(SigningFailed):
            assert read_untrusted_provenance(elsewhere.getvalue()).credential is None
        with suppress(TimeoutError):
            asked.append(server.accept()[1])

    assert address.encode() in elsewhere.getvalue()
    assert asked == []


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(PhotoRefused, match="too_large"):
        read_untrusted_provenance(bytes(51 * 1024 * 1024))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_format_is_read(kind: str) -> None:
    source = DigitalSource.TRAINED
    if kind == "WEBP":
        xmp = XMP.format(address=SOURCE_TYPES + source).encode()
        data = save(Image.fromarray(photos.astronaut()), "WEBP", xmp=xmp)
    else:
        data = encode(photos.astronaut(), source, kind.lower())
    data = sign(data, f"image/{kind.lower()}", source, make_test_identity("A studio in Testing"))

    provenance = read_untrusted_provenance(data)

    assert provenance.digital_source == "trainedAlgorithmicMedia"
    assert provenance.credential is not None
    assert provenance.credential.intact
    assert image_type(data) == f"image/{kind.lower()}"
