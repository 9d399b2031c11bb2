"""`check`: judge whether photos can be used."""

import argparse
from dataclasses import asdict
from pathlib import Path

from pipeline.commands import (
    CHOOSE_FACE,
    DONE,
    REFUSED,
    describe_face,
    open_weights,
    print_json,
    read_photo,
    suppress_stderr,
)
from pipeline.errors import PhotoRefused
from pipeline.faces.find import FaceFinder
from pipeline.types import PhotoCheck, Status, Verdict


def run(arguments: argparse.Namespace) -> int:
    """Check every photo and print the results."""
    photos: list[Path] = arguments.photos
    files = [read_photo(path) for path in photos]
    with suppress_stderr():
        finder = FaceFinder(open_weights(arguments))
    checks = []
    for path, data in zip(photos, files, strict=True):
        checks.append(check_file(data, finder))
        if not arguments.json:
            print_check(path, checks[-1])
    if arguments.json:
        print_json([describe_check(path, check) for path, check in zip(photos, checks, strict=True)])
    statuses = {check.verdict.status for check in checks}
    if Status.REFUSED in statuses:
        return REFUSED
    return CHOOSE_FACE if Status.CHOOSE_FACE in statuses else DONE


def check_file(data: bytes, finder: FaceFinder) -> PhotoCheck:
    """Check an uploaded photo.

    A photo that cannot be read is refused, with no faces."""
    from pipeline.photos.check import check_photo
    from pipeline.photos.intake import clean_photo, load_pixels

    try:
        return check_photo(load_pixels(clean_photo(data).data), finder)
    except PhotoRefused as refused:
        return PhotoCheck(Verdict(Status.REFUSED, (refused.reason,)))


def describe_check(path: Path, check: PhotoCheck) -> dict[str, object]:
    """Return the check as plain values for JSON, widest face first."""
    return {
        "file": str(path),
        "status": check.verdict.status,
        "reasons": list(check.verdict.reasons),
        "faces": [{**asdict(face.box), "score": face.score} for face in check.faces],
        "measurements": [asdict(measurements) for measurements in check.measurements],
    }


def print_check(path: Path, check: PhotoCheck) -> None:
    reasons = ", ".join(check.verdict.reasons)
    print(f"{path}: {check.verdict.status}" + (f" ({reasons})" if reasons else ""), flush=True)
    if check.verdict.status is Status.CHOOSE_FACE:
        for index, face in enumerate(check.faces):
            print(describe_face(index, face))
