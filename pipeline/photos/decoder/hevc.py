"""Decode the HEVC data of a HEIC a second time, to get the warnings that libheif hides.

An intact picture uses all of its data exactly. If the data is damaged, the decoder stops early or reads too far, and
warns.
"""

import ctypes
import re
from functools import cache
from importlib import import_module

from pipeline.photos.decoder.damage import Damaged

# The smoothing filters are turned off, because the decoded picture is discarded.
DISABLE_DEBLOCKING, DISABLE_SAO = 7, 8
# libde265's warnings start at 1000. The first two concern threads and a full queue, and not damage.
FIRST_WARNING_OF_DAMAGE = 1002
# Decoding a picture takes a few calls. The limit stops files that are made to keep the decoder busy.
MAX_TURNS = 1000
# Byte sequences that never occur in compressed data, because encoders insert 0x03.
FORBIDDEN = re.compile(rb"\0\0[\0-\2]")


def check_hevc(setup: list[bytes], units: list[bytes]) -> None:
    """Raise Damaged unless the decoder accepts these HEVC units without a warning."""
    if any(FORBIDDEN.search(unit.rstrip(b"\0")) for unit in units):
        raise Damaged
    library = load_library()
    decoder = library.de265_new_decoder()
    try:
        for parameter in (DISABLE_DEBLOCKING, DISABLE_SAO):
            library.de265_set_parameter_bool(decoder, parameter, 1)
        for unit in (*setup, *units):
            library.de265_push_NAL(decoder, unit, len(unit), 0, None)
        library.de265_flush_data(decoder)
        more = ctypes.c_int(1)
        turns = 0
        while more.value and turns < MAX_TURNS:
            turns += 1
            if library.de265_decode(decoder, ctypes.byref(more)):
                raise Damaged
            library.de265_get_next_picture(decoder)
        while warning := library.de265_get_warning(decoder):
            if warning >= FIRST_WARNING_OF_DAMAGE:
                raise Damaged
    finally:
        library.de265_free_decoder(decoder)


@cache
def load_library() -> ctypes.CDLL:
    """Return the libde265 that pillow-heif contains.

    Its symbols are available through the extension module that is linked to it."""
    library = ctypes.CDLL(import_module("_pillow_heif").__file__)
    pointer = ctypes.c_void_p
    library.de265_new_decoder.restype = pointer
    library.de265_get_next_picture.restype = pointer
    library.de265_push_NAL.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int64, pointer]
    library.de265_set_parameter_bool.argtypes = [pointer, ctypes.c_int, ctypes.c_int]
    library.de265_decode.argtypes = [pointer, pointer]
    for name in ("flush_data", "get_next_picture", "get_warning", "free_decoder"):
        getattr(library, f"de265_{name}").argtypes = [pointer]
    return library
