"""The source type in a picture's XMP: found in every format and spelling, in linear time, whatever the bytes are."""

import time
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest

from pipeline.errors import SigningFailed
from pipeline.files.xmp import (
    JPEG_XMP,
    MAX_PACKET_BYTES,
    PNG_XMP,
    SOURCE_TYPES,
    find_packet,
    image_type,
    read_source_type,
)
from tests.helpers.uploads import corners, jpeg_segment, png_chunk, png_of, save

ADDRESS = SOURCE_TYPES + "trainedAlgorithmicMedia"
NAMESPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
)
SPELLINGS = {
    "element": f"<rdf:Description><e:DigitalSourceType>\n {ADDRESS} </e:DigitalSourceType></rdf:Description>",
    "attribute": f'<rdf:Description e:DigitalSourceType="{ADDRESS}"/>',
    "single quotes": f"<rdf:Description e:DigitalSourceType='{ADDRESS}'/>",
    "resource": f'<rdf:Description><e:DigitalSourceType rdf:resource="{ADDRESS}"/></rdf:Description>',
}


def packet(body: str) -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {NAMESPACES}>{body}</rdf:RDF></x:xmpmeta>'.encode()


def jpeg_with(xmp: bytes) -> bytes:
    """A JPEG with a segment of something else in front, as cameras write them."""
    data = save(corners(), "JPEG")
    return data[:2] + jpeg_segment(b"Exif\x00\x00II*\x00") + jpeg_segment(JPEG_XMP + xmp) + data[2:]


def png_with(xmp: bytes) -> bytes:
    return png_of(png_chunk(b"iTXt", PNG_XMP + b"\x00\x00\x00\x00" + xmp))


def packed_png_with(xmp: bytes) -> bytes:
    return png_of(png_chunk(b"iTXt", PNG_XMP + b"\x01\x00\x00\x00" + zlib.compress(xmp)))


def png_with_it_at_the_end(xmp: bytes) -> bytes:
    data = save(corners(), "PNG")
    return data[:-12] + png_chunk(b"iTXt", PNG_XMP + b"\x00\x00\x00\x00" + xmp) + data[-12:]


def webp_with(xmp: bytes) -> bytes:
    return save(corners(), "WEBP", xmp=xmp)


WRITERS = [jpeg_with, png_with, packed_png_with, png_with_it_at_the_end, webp_with]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_read_in_every_format(write: Callable[[bytes], bytes], spelling: str) -> None:
    assert read_source_type(write(packet(SPELLINGS[spelling]))) == "trainedAlgorithmicMedia"


@pytest.mark.parametrize("write", WRITERS)
def test_a_picture_without_the_mark_names_no_source(write: Callable[[bytes], bytes]) -> None:
    xmp = packet("<rdf:Description e:Event='DigitalSourceType'/>")

    assert find_packet(write(xmp)) == xmp
    assert read_source_type(write(xmp)) is None


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_without_xmp_names_no_source(image_format: str) -> None:
    assert read_source_type(save(corners(), image_format)) is None


def test_an_address_of_somebody_else_is_not_repeated() -> None:
    for value in (f"{SOURCE_TYPES}<script>", "https://example.org/trainedAlgorithmicMedia", SOURCE_TYPES + "a" * 101):
        escaped = value.replace("<", "&lt;")
        assert read_source_type(jpeg_with(packet(f'<e:DigitalSourceType rdf:resource="{escaped}"/>'))) is None


def test_entities_are_not_expanded() -> None:
    bomb = (
        b'<!DOCTYPE r [<!ENTITY a "' + ADDRESS.encode() + b'"><!ENTITY b "&a;&a;&a;">'
        b'<!ENTITY c SYSTEM "file:///etc/passwd">]><r><DigitalSourceType>&a;</DigitalSourceType>&b;&c;</r>'
    )

    assert read_source_type(jpeg_with(bomb)) is None


def test_a_packet_that_breaks_off_after_the_mark_is_read_so_far() -> None:
    assert read_source_type(jpeg_with(packet(SPELLINGS["element"])[:-30])) == "trainedAlgorithmicMedia"


@pytest.mark.parametrize("declared", ["utf-16", "rot13", "no such encoding"])
def test_the_declared_encoding_is_not_asked(declared: str) -> None:
    xmp = f'<?xml version="1.0" encoding="{declared}"?>'.encode() + packet(SPELLINGS["attribute"])

    assert read_source_type(jpeg_with(xmp)) in ("trainedAlgorithmicMedia", None)


def test_a_packet_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    for write in (png_with, packed_png_with, webp_with):
        with pytest.raises(SigningFailed, match="too large"):
            read_source_type(write(b" " * (MAX_PACKET_BYTES + 1)))


def test_a_picture_in_too_many_parts_is_refused() -> None:
    for attack in ("segments of no length", "fill bytes", "PNG chunks", "WebP chunks"):
        with pytest.raises(SigningFailed, match="too many parts"):
            read_source_type(HOSTILE[attack](1_000_000))


def test_formats_are_known_by_their_content() -> None:
    kinds = {kind: image_type(save(corners(), kind)) for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF")}

    assert kinds == {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"} | dict.fromkeys(
        ("GIF", "TIFF", "BMP", "HEIF")
    )
    assert image_type(b"") is None


def repeated(piece: bytes, size: int) -> bytes:
    return (piece * (size // len(piece) + 1))[:size]


HOSTILE = {
    "the word of the issue": lambda size: png_with(repeated(b"DigitalSourceType", size)),
    "words outside of XMP": lambda size: jpeg_with(b"") + repeated(b"DigitalSourceType", size),
    "words in an element": lambda size: png_with(b"<DigitalSourceType>" + repeated(b"DigitalSourceType ", size)),
    "nested elements": lambda size: png_with(repeated(b"<a:DigitalSourceType>", size)),
    "siblings in an element": lambda size: png_with(b"<DigitalSourceType>" + repeated(b"x<b/>", size)),
    "one long attribute": lambda size: png_with(b'<a DigitalSourceType="' + repeated(b"DigitalSourceType ", size)),
    "many attributes": lambda size: png_with(
        b"<a " + b" ".join(b'a%d:DigitalSourceType=""' % number for number in range(size // 28)) + b"/>"
    ),
    "a long namespace": lambda size: png_with(
        b'<a xmlns="' + repeated(b"u", size // 2) + b'">' + repeated(b"<b/>", size // 2)
    ),
    "colons": lambda size: png_with(b"<a" + repeated(b":", size) + b"/>"),
    "comments": lambda size: png_with(repeated(b"<!--a-->", size)),
    "an open comment": lambda size: png_with(b"<!--" + repeated(b"-", size)),
    "white space": lambda size: png_with(b"<DigitalSourceType>" + repeated(b" \n", size)),
    "segments": lambda size: b"\xff\xd8" + repeated(b"\xff\xe1\x00\x02", size),
    "segments of no length": lambda size: b"\xff\xd8" + repeated(b"\xff\xe1\x00\x00", size),
    "fill bytes": lambda size: b"\xff\xd8" + repeated(b"\xff", size),
    "PNG chunks": lambda size: png_of(repeated(png_chunk(b"tEXt"), size)),
    "PNG texts": lambda size: png_of(repeated(png_chunk(b"iTXt", b"XML:com.adobe.xm\x00"), size)),
    "WebP chunks": lambda size: b"RIFF\x00\x00\x00\x00WEBP" + repeated(b"EXIF\x00\x00\x00\x00", size),
}


def cost(data: bytes) -> float:
    """Return the seconds of this thread that reading takes, the best of two."""
    found = []
    for _ in range(2):
        begun = time.thread_time()
        with suppress(SigningFailed):
            read_source_type(data)
        found.append(time.thread_time() - begun)
    return min(found)


@pytest.mark.parametrize("attack", HOSTILE)
def test_the_worst_input_costs_linear_time(attack: str) -> None:
    make = HOSTILE[attack]
    small, middle, large = (cost(make(kilobytes * 1000)) for kilobytes in (10, 100, 1000))

    # Ten times the bytes may cost twenty times as much; a quadratic reader takes a hundred times as much each step.
    print(f"{attack}: 10 kB {small * 1000:.2f} ms, 100 kB {middle * 1000:.2f} ms, 1,000 kB {large * 1000:.2f} ms")
    assert middle < max(20 * small, 0.005)
    assert large < max(20 * middle, 0.05)


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_what_another_program_wrote_is_found(image_format: str) -> None:
    xmp = packet(SPELLINGS["element"])

    assert find_packet(save(corners(), image_format, xmp=xmp)) == xmp
