"""Encode finished pictures as full, profile and web files: sRGB, 300 dpi, with provenance metadata."""

import io
import struct
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from pipeline.files.signing import SOURCE_TYPES, Identity, sign
from pipeline.types import Box, DigitalSource, Pixels

FileFormat = Literal["jpeg", "png"]
ENDINGS = {"jpeg": "jpg", "png": "png"}
MIME = {"jpeg": "image/jpeg", "png": "image/png"}
QUALITY = 95
DPI = 300
PROFILE_PX = 600
WEB_LONG_EDGE_PX = 1200
# Pages show thumbnails at up to 215 CSS pixels, so this is sharp on screens with two pixels per CSS pixel.
THUMBNAIL_WIDTH_PX, THUMBNAIL_QUALITY = 400, 76
# A profile picture is usually shown small, and often in a circle. The face has PROFILE_FACE_SHARE of the picture's
# height, and its center is at PROFILE_FACE_MIDDLE of the height.
PROFILE_FACE_SHARE = 0.52
PROFILE_FACE_MIDDLE = 0.5
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">\
<Iptc4xmpExt:DigitalSourceType>{address}</Iptc4xmpExt:DigitalSourceType>\
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>"""


@dataclass(frozen=True)
class HeadshotFiles:
    """The files of one headshot.

    A small headshot has only `full`.

    Attributes:
        full: signed picture at full size.
        profile: signed square crop around the face. None if the picture shows no face.
        web: signed small copy of the picture.
        thumbnail: WebP for pages that show many pictures. It is not signed, and names its digital source type.
    """

    full: bytes = field(repr=False)
    profile: bytes | None = field(repr=False, default=None)
    web: bytes | None = field(repr=False, default=None)
    thumbnail: bytes | None = field(repr=False, default=None)


def finish(
    pixels: Pixels, face: Box | None, source: DigitalSource, identity: Identity, file_format: FileFormat = "jpeg"
) -> HeadshotFiles:
    """Encode and sign the three files of a headshot, and encode its thumbnail.

    All files contain the digital source type. Only the full file gets a trusted time. There is no profile file if
    `face` is None. face: in pixels of the picture.
    Raises SigningFailed."""
    full = finish_small(pixels, source, identity, file_format).full
    timeless = replace(identity, time_authority=None)
    web = finish_small(shrink_for_web(pixels), source, timeless, file_format).full
    profile = None if face is None else finish_small(crop_profile(pixels, face), source, timeless, file_format).full
    return HeadshotFiles(full, profile, web, encode_thumbnail(pixels, source))


def finish_small(
    pixels: Pixels, source: DigitalSource, identity: Identity, file_format: FileFormat = "jpeg"
) -> HeadshotFiles:
    """Encode and sign the single file of a small headshot.

    Raises SigningFailed."""
    return HeadshotFiles(sign(encode(pixels, source, file_format), MIME[file_format], source, identity))


def encode(pixels: Pixels, source: DigitalSource, file_format: FileFormat = "jpeg", quality: int = QUALITY) -> bytes:
    """Encode the picture in sRGB at 300 dpi. The only other metadata is the digital source type in the XMP.

    The same pixels always give the same bytes. quality: JPEG quality, 1..100."""
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    xmp = XMP.format(address=SOURCE_TYPES + source).encode()
    if file_format == "png":
        described = PngImagePlugin.PngInfo()
        described.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(buffer, "PNG", compress_level=4, dpi=(DPI, DPI), icc_profile=srgb_profile(), pnginfo=described)
    else:
        # Keep color at full resolution. Chroma subsampling would first become visible on red lips and thin hair.
        image.save(buffer, "JPEG", quality=quality, subsampling=0, dpi=(DPI, DPI), icc_profile=srgb_profile(), xmp=xmp)
    return buffer.getvalue()


def encode_thumbnail(pixels: Pixels, source: DigitalSource) -> bytes:
    """Encode a small WebP of the picture, THUMBNAIL_WIDTH_PX wide or narrower."""
    import cv2

    height, width = pixels.shape[:2]
    shown = min(width, THUMBNAIL_WIDTH_PX)
    small = cv2.resize(pixels, (shown, round(height * shown / width)), interpolation=cv2.INTER_AREA)
    buffer = io.BytesIO()
    xmp = XMP.format(address=SOURCE_TYPES + source).encode()
    Image.fromarray(small).save(buffer, "WEBP", quality=THUMBNAIL_QUALITY, method=4, xmp=xmp)
    return buffer.getvalue()


@cache
def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB (588 bytes) with a fixed creation date."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Bytes 24 to 35 of the header are the creation date.
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]


def crop_profile(pixels: Pixels, face: Box) -> Pixels:
    """Crop a square around the face, and resize it to (600, 600, 3).

    If the face is near the border of the picture, the face is off center in the crop."""
    import cv2

    height, width = pixels.shape[:2]
    side = min(face.height / PROFILE_FACE_SHARE, width, height)
    left = float(np.clip((face.left + face.right - side) / 2, 0, width - side))
    top = float(np.clip((face.top + face.bottom) / 2 - PROFILE_FACE_MIDDLE * side, 0, height - side))
    crop = pixels[round(top) : round(top + side), round(left) : round(left + side)]
    how = cv2.INTER_AREA if side > PROFILE_PX else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (PROFILE_PX, PROFILE_PX), interpolation=how), np.uint8)


def shrink_for_web(pixels: Pixels) -> Pixels:
    """Shrink the picture to a long edge of 1,200 px.

    Returns a smaller picture unchanged."""
    import cv2

    height, width = pixels.shape[:2]
    factor = WEB_LONG_EDGE_PX / max(height, width)
    if factor >= 1:
        return pixels
    shape = (round(width * factor), round(height * factor))
    return np.asarray(cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA), np.uint8)
