"""Finished files: what a picture looks like once it is a file, and what it says about itself to other programs."""

import datetime
import io
import socket

import cv2
import numpy as np
import pytest
import time_machine
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image, ImageCms

from pipeline.errors import SigningFailed
from pipeline.files.finish import MIME, encode, finish
from pipeline.files.provenance import read_provenance
from pipeline.files.signing import (
    SOURCE_TYPES,
    Identity,
    _certificate,
    _name,
    check_signing,
    load_identity,
    make_test_identity,
    read_credential,
    sign,
)
from pipeline.types import Box, DigitalSource
from tests.helpers import photos

FACE = Box(180, 60, 270, 190)


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_test_identity("A studio in Testing")


@pytest.fixture(scope="module", params=["jpeg", "png"])
def files(request, identity):
    return finish(photos.astronaut(), FACE, DigitalSource.COMPOSITE_WITH_TRAINED, identity, request.param)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def jpeg(source: DigitalSource = DigitalSource.COMPOSITE, **options: int) -> bytes:
    return encode(photos.astronaut(), source, **options)


def test_a_picture_becomes_a_jpeg_with_color_at_full_resolution():
    image = opened(jpeg())

    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (512, 512))
    assert [component[1:3] for component in image.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("file_format", ["jpeg", "png"])
def test_it_is_marked_as_srgb_and_300_dpi_and_holds_no_exif(file_format):
    image = opened(encode(photos.astronaut(), DigitalSource.COMPOSITE, file_format))

    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert [round(dots) for dots in image.info["dpi"]] == [300, 300]
    assert not image.getexif().keys() - {"XML:com.adobe.xmp"}


def test_the_pixels_hardly_change():
    difference = np.asarray(opened(jpeg())).astype(int) - photos.astronaut()

    assert np.abs(difference).mean() < 2


def test_a_png_keeps_every_pixel():
    assert np.array_equal(opened(encode(photos.astronaut(), DigitalSource.COMPOSITE, "png")), photos.astronaut())


def test_the_same_pixels_give_the_same_bytes():
    assert jpeg() == jpeg()


@pytest.mark.parametrize(("better", "worse"), [(95, 92), (92, 60)])
def test_more_quality_costs_more_bytes(better, worse):
    assert len(jpeg(quality=better)) > len(jpeg(quality=worse))


def test_a_headshot_comes_in_three_sizes(identity):
    picture = np.zeros((1600, 1280, 3), np.uint8)

    files = finish(picture, Box(500, 400, 800, 800), DigitalSource.COMPOSITE, identity)

    assert [opened(data).size for data in (files.full, files.profile, files.web)] == [
        (1280, 1600),
        (600, 600),
        (960, 1200),
    ]


def test_the_profile_shows_the_face_in_the_middle(identity):
    picture = np.zeros((1600, 1280, 3), np.uint8)
    picture[400:800, 500:800] = 255

    profile = np.asarray(opened(finish(picture, Box(500, 400, 800, 800), DigitalSource.COMPOSITE, identity).profile))

    rows, columns = np.nonzero(profile[..., 0] > 128)
    assert abs(rows.mean() - 300) < 2
    assert abs(columns.mean() - 300) < 2


def test_a_face_at_the_edge_still_gives_a_whole_square(identity):
    files = finish(photos.astronaut(), Box(0, 0, 400, 500), DigitalSource.COMPOSITE, identity)

    assert opened(files.profile).size == (600, 600)


@pytest.mark.parametrize("source", list(DigitalSource))
@pytest.mark.parametrize("file_format", ["jpeg", "png"])
def test_another_program_reads_the_mark_in_the_xmp(source, file_format):
    pyexiv2 = pytest.importorskip("pyexiv2")

    with pyexiv2.ImageData(encode(photos.astronaut(), source, file_format)) as image:
        xmp, exif, iptc = image.read_xmp(), image.read_exif(), image.read_iptc()

    assert xmp["Xmp.iptcExt.DigitalSourceType"] == SOURCE_TYPES + source
    assert (exif, iptc) == ({}, {})


def test_every_file_carries_the_mark_and_a_valid_credential(files):
    pyexiv2 = pytest.importorskip("pyexiv2")

    for data in (files.full, files.profile, files.web):
        with pyexiv2.ImageData(data) as image:
            assert image.read_xmp()["Xmp.iptcExt.DigitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
        provenance = read_provenance(data)
        assert provenance.digital_source == "compositeWithTrainedAlgorithmicMedia"
        assert provenance.credential.intact
        assert provenance.credential.digital_source == provenance.digital_source


def test_the_test_certificate_says_what_it_is_and_is_not_trusted(files):
    credential = read_credential(files.full)

    assert credential.signed_by == "A studio in Testing"
    assert not credential.trusted
    assert credential.faults == ("signingCredential.untrusted",)


def test_the_independent_reader_finds_no_thumbnail_ingredient_or_time(files):
    import c2pa

    with c2pa.Reader(None, io.BytesIO(files.full)) as reader:
        report = reader.json()

    for word in ("thumbnail", "ingredient", '"when"', '"time"', "stds.exif", "schema-org"):
        assert word not in report


def test_other_programs_open_the_files_and_see_the_same_picture(files):
    for data in (files.full, files.profile, files.web):
        ours = np.asarray(opened(data).convert("RGB"))

        theirs = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

        # Decoders of JPEG may round differently.
        assert np.abs(theirs.astype(int) - ours).max() <= 2


def test_a_changed_pixel_breaks_the_credential(identity):
    data = bytearray(sign(jpeg(), MIME["jpeg"], DigitalSource.COMPOSITE, identity))
    data[-2000] ^= 1

    credential = read_credential(bytes(data))

    assert not credential.intact
    assert "assertion.dataHash.mismatch" in credential.faults


def test_a_file_without_marks_says_nothing():
    plain = io.BytesIO()
    Image.fromarray(photos.astronaut()).save(plain, "JPEG")

    provenance = read_provenance(plain.getvalue())

    assert (provenance.digital_source, provenance.credential) == (None, None)


@pytest.mark.parametrize("data", [b"", b"not a picture at all", b"\xff\xd8\xff\xe0 broken"])
def test_what_is_no_picture_has_no_marks_to_read(data):
    with pytest.raises(SigningFailed):
        read_provenance(data)


def test_an_operators_own_key_and_certificate_are_taken(identity):
    assert load_identity(identity.key, identity.certificates) == identity


def test_a_key_that_does_not_fit_the_certificate_is_refused(identity):
    with pytest.raises(SigningFailed, match="another key"):
        load_identity(make_test_identity("Somebody").key, identity.certificates)


def certificates_of(identity: Identity) -> list[bytes]:
    end = b"-----END CERTIFICATE-----\n"
    return [part + end for part in identity.certificates.split(end) if part]


def test_a_certificate_that_signed_itself_is_refused():
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("A studio", "A studio")
    leaf = _certificate(name, name, key, key).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()

    with pytest.raises(SigningFailed, match="is self-signed"):
        load_identity(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), leaf.public_bytes(pem))


def test_certificates_that_do_not_follow_one_another_are_refused(identity):
    leaf, stranger = certificates_of(identity)[0], certificates_of(make_test_identity("Somebody"))[1]

    with pytest.raises(SigningFailed, match="followed by"):
        load_identity(identity.key, leaf + stranger)
    assert load_identity(identity.key, leaf)


def test_a_certificate_whose_time_is_over_is_refused(identity):
    in_two_years = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=730)

    with time_machine.travel(in_two_years), pytest.raises(SigningFailed, match="is valid from"):
        load_identity(identity.key, identity.certificates)


def test_an_identity_is_tried_out_before_anything_is_made_with_it(identity):
    check_signing(identity)

    with pytest.raises(SigningFailed):
        check_signing(Identity(identity.key, certificates_of(identity)[1]))


@pytest.mark.parametrize("key", [b"", b"-----BEGIN PRIVATE KEY-----"])
def test_what_is_no_key_is_refused(key, identity):
    with pytest.raises(SigningFailed, match="not valid PEM"):
        load_identity(key, identity.certificates)


def test_the_source_photos_metadata_never_survives(identity):
    from pipeline.photos.intake import clean_photo, load_pixels

    exif = Image.Exif()
    exif[0x010F] = "CameraMaker"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)
    taken = io.BytesIO()
    Image.fromarray(photos.astronaut()).save(taken, "JPEG", exif=exif)

    pixels = load_pixels(clean_photo(taken.getvalue()).data)
    files = finish(pixels, FACE, DigitalSource.COMPOSITE, identity)

    for data in (files.full, files.profile, files.web):
        assert b"CameraMaker" not in data
        assert not opened(data).getexif()


def test_signing_and_reading_open_no_connection(monkeypatch, identity):
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    assert read_credential(sign(jpeg(), MIME["jpeg"], DigitalSource.COMPOSITE, identity))
