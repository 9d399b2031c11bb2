"""The attacker's test: whoever holds every copy that was ever taken, and the key rings as they are after the purge,
finds neither the photo nor what was made of it. And the same attack succeeds when keys do not die, or lie in the data.
"""

import base64
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from headshots import engine
from pipeline.faces.serialization import unpack_measurements
from tests.chaos.attack import KINDS, Finding, attack
from tests.chaos.conftest import short_folder
from tests.chaos.loot import Looter, Piece, rings_in_folders
from tests.chaos.needles import Secrets, both, decode, of_headshots, of_photo
from tests.chaos.visitor import Visitor
from tests.helpers import photos
from tests.helpers.product import Product, start_below

EMAIL = "marked.person@example.org"
FILE_NAME = "Marked-Person-in-Lisbon.png"
STRIPE_PX = 24


def marked(pixels: np.ndarray) -> bytes:
    """The photo as a PNG, with a stripe of noise at its lower edge that no other picture has."""
    noise = np.random.default_rng().integers(0, 256, (STRIPE_PX, pixels.shape[1], 3), np.uint8)
    return photos.encode(np.vstack([pixels[:-STRIPE_PX], noise]), "PNG")


@dataclass
class Run:
    """A product's life from before the upload to after its end, and what was taken of it.

    `held_back`: the rings as they were while everything lived. `after_purge` and `after_deletion`: as they were then.
    """

    secrets: Secrets = field(repr=False)
    pile: list[Piece] = field(repr=False)
    held_back: list[Piece] = field(repr=False)
    after_purge: list[Piece] = field(repr=False)
    after_deletion: list[Piece] = field(repr=False)
    errors: list[Piece] = field(repr=False)
    statuses: set[int]
    kinds: set[str]
    copies: int


def live(folder: Path, rings: Callable[[Product], list[Piece]] = rings_in_folders, **settings: str) -> Run:
    """Sign up, upload, a headshot or more; the photo is purged, then the headshots are deleted; copies each second."""
    (folder / "tmp").mkdir()
    upload = marked(astronaut())
    product = start_below(folder, (), {"TMPDIR": str(folder / "tmp"), **settings})
    person = Visitor(product.url)
    folders = {"data": product.data, "tmp": folder / "tmp"}
    try:
        with Looter(product, folders, lambda: rings(product), seconds=1) as looter:
            person.sign_up(EMAIL)
            shoot = person.upload(FILE_NAME, upload)
            person.wait_for(shoot, "delivered")
            looter.take()
            secrets = both(of_photo(upload), of_headshots(person.headshots(shoot)))
            person.meet_errors(shoot, FILE_NAME, upload)
            with faces_unreadable(product):
                person.get("/account/export.zip")
            kinds = {str(kind) for (kind,) in product.query("select distinct kind from vault_blob")}

            product.manage("purge", "--shoot", shoot.split("/")[2])
            looter.take()
            after_purge = rings(product)

            person.post(f"{shoot}delete/", {})
            person.wait_for(shoot, "purged")
            looter.take()
            after_deletion = rings(product)
        assert product.stop() == 0
        looter.take()
    finally:
        if product.process.poll() is None:
            product.stop()
    errors = [
        Piece(f"errors/{answer.url}", b"\n".join([answer.url.encode(), repr(answer.headers).encode(), answer.content]))
        for answer in person.answers
    ]
    statuses = {answer.status_code for answer in person.answers}
    held_back = list(looter.rings)
    pile = list(looter.pile)
    return Run(secrets, pile, held_back, after_purge, after_deletion, errors, statuses, kinds, looter.copies)


@contextmanager
def faces_unreadable(product: Product) -> Iterator[None]:
    """A disk fails for a while: whoever reads the file of the faces breaks off, and says so in the log."""
    ((blob_id,),) = product.query("select id from vault_blob where kind = 'faces'")
    (path,) = [path for path in (product.data / "blobs").rglob("*") if path.name.replace("-", "") == blob_id]
    data = path.read_bytes()
    path.unlink()
    path.mkdir()
    yield
    path.rmdir()
    path.write_bytes(data)


def what(findings: Iterable[Finding]) -> set[str]:
    return {finding.what for finding in findings}


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One run for all that follows."""
    with short_folder() as folder:
        yield live(folder, HEADSHOTS_PREVIEW_COUNT="2")


def test_the_copies_hold_what_an_attacker_would_look_for(run: Run) -> None:
    places = {piece.place for piece in run.pile}
    blobs = [piece for piece in run.pile if piece.content.startswith(b"HSBLOB")]

    assert run.copies >= 6
    assert len(blobs) >= 4  # the photo, its faces, two headshots
    assert {"data/db.sqlite3", "data/db.sqlite3-wal", "printed", "database/shoots_photo"} <= places
    assert any("appendonly" in place for place in places)
    assert any(place.startswith("broker/") for place in places)
    assert any(place.startswith("data/logs/") for place in places)
    assert any(b"HSKEY" in piece.content for piece in run.held_back)
    assert {"photo", "faces", "headshot"} <= run.kinds <= set(KINDS)


def test_after_the_purge_no_copy_yields_anything_of_the_photo(run: Run) -> None:
    found = attack([*run.pile, *run.after_purge], run.secrets)

    # The headshots live on, and open: so the attack is one that works.
    assert what(found) <= {"headshot", "pixels of the headshot"}, found
    assert {finding.opened for finding in found} == {"headshot"}
    # By file: in an opened one the same may be found once more, spelt otherwise.
    assert len({finding.place.split()[0] for finding in found}) == 2


def test_after_their_deletion_no_copy_yields_the_headshots_either(run: Run) -> None:
    assert attack([*run.pile, *run.after_deletion], run.secrets) == []


@pytest.mark.parametrize(
    "rings",
    [
        # The ring after the purge is the ring before it.
        pytest.param(lambda run: run.held_back, id="keys are not destroyed"),
        # Then it is in every copy of that folder.
        pytest.param(
            lambda run: [Piece(f"data/{piece.place}", piece.content) for piece in run.held_back],
            id="the rings lie below the data folder",
        ),
    ],
)
def test_the_same_attack_succeeds_when(run: Run, rings: Callable[[Run], list[Piece]]) -> None:
    found = attack([*run.pile, *rings(run), *run.after_deletion], run.secrets)

    assert {"photo", "faces", "headshot"} <= what(found)
    assert {finding.opened for finding in found} == {"photo", "faces", "headshot"}


def test_what_was_measured_of_the_face_is_in_no_copy_at_any_time(run: Run) -> None:
    assert "measurements" in run.secrets.needles.values()
    # With all keys, those of the time before the purge too: then the faces can be opened, whose file has the numbers.
    assert "measurements" not in what(attack([*run.pile, *run.held_back], run.secrets))


def test_logs_messages_and_error_pages_name_nobody(run: Run) -> None:
    pieces = [
        piece
        for piece in run.pile
        if piece.place.startswith(("printed", "data/logs/", "data/valkey/", "broker/", "data/run/"))
    ] + run.errors
    everything = b"\n".join(piece.content for piece in pieces)

    # All of it is there: tasks by their names, a traceback, and a page for each error.
    assert b"shoots.check_photo" in everything
    assert b"IsADirectoryError" in everything
    assert run.statuses >= {400, 403, 404, 413, 422, 500}
    for word in (EMAIL, EMAIL.split("@")[0], FILE_NAME, "Lisbon"):
        for spelling in spellings(word):
            assert not [piece.place for piece in pieces if spelling in piece.content], spelling
    assert attack(pieces, run.secrets) == []


def test_the_name_of_the_file_is_kept_nowhere(run: Run) -> None:
    assert not [piece.place for piece in run.pile for word in spellings("Lisbon") if word in piece.content]


def spellings(word: str) -> list[bytes]:
    plain = word.encode()
    encoded = [base64.b64encode(bytes(shift) + plain)[4:-4] for shift in range(3)]
    return [
        plain,
        plain.lower(),
        plain.replace(b"@", b"%40"),
        plain.hex().encode(),
        *(e for e in encoded if len(e) > 7),
    ]


# The attack itself --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upload() -> bytes:
    return marked(astronaut())


@pytest.fixture(scope="module")
def secrets(upload: bytes) -> Secrets:
    return of_photo(upload)


def measured(upload: bytes) -> list[dict[str, float]]:
    faces = engine.check(engine.clean_upload(upload)).faces
    return [asdict(face) for face in unpack_measurements(faces)]


def as_file(pixels: np.ndarray, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, image_format, **options)
    return out.getvalue()


WAYS: dict[str, tuple[str, Callable[[bytes, Secrets], bytes]]] = {
    "the file": ("photo", lambda upload, _: upload),
    "half of the file": ("photo", lambda upload, _: upload[: len(upload) // 2]),
    "base64 in JSON": ("photo", lambda upload, _: json.dumps({"body": base64.b64encode(upload).decode()}).encode()),
    "base64 from the middle": ("photo", lambda upload, _: base64.urlsafe_b64encode(upload)[5001:]),
    "hex": ("photo", lambda upload, _: upload.hex().encode()),
    "a list of numbers": ("photo", lambda upload, _: json.dumps(list(upload)).encode()),
    "a repr": ("photo", lambda upload, _: repr(upload).encode()),
    "text": ("photo", lambda upload, _: upload.decode("latin-1").encode()),
    "compressed": ("photo", lambda upload, _: gzip.compress(upload)),
    "pixels": ("pixels of the photo", lambda upload, _: decode(upload).tobytes()),
    "pixels as float32": ("pixels of the photo", lambda upload, _: (decode(upload) / np.float32(255)).tobytes()),
    "a thumbnail": ("photo", lambda upload, _: as_file(decode(upload)[::8, ::8], "WEBP", quality=60)),
    "a crop": ("face", lambda upload, _: as_file(decode(upload)[20:300, 100:340], "JPEG", quality=80)),
    "measurements in a table": ("measurements", lambda upload, _: json.dumps(measured(upload)).encode()),
    "the embedding as float32": ("embedding", lambda _, secrets: secrets.embedding.tobytes()),
    "the embedding as float64": ("embedding", lambda _, secrets: secrets.embedding.astype(float).tobytes()),
    "the embedding as JSON": ("embedding", lambda _, secrets: json.dumps(secrets.embedding.tolist()).encode()),
    "the embedding in base64": ("embedding", lambda _, secrets: base64.b64encode(secrets.embedding.tobytes())),
    "the embedding in a log": ("embedding", lambda _, secrets: repr(secrets.embedding).encode()),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_lies_about_is_found(way: str, upload: bytes, secrets: Secrets) -> None:
    expected, spell = WAYS[way]
    noise = np.random.default_rng(1).bytes(10_000)

    found = attack([Piece("a file", noise), Piece("another", noise + spell(upload, secrets) + noise)], secrets)

    assert expected in what(found)


def test_nothing_is_found_where_nothing_is(secrets: Secrets) -> None:
    pieces = [
        Piece("noise", np.random.default_rng(2).bytes(300_000)),
        Piece("another picture", photos.coffee_path().read_bytes()),
        Piece("somebody else's photo", photos.encode(marked_stranger())),
        Piece("numbers", json.dumps(np.random.default_rng(3).normal(0, 0.1, 2000).tolist()).encode()),
    ]

    assert attack(pieces, secrets) == []


def marked_stranger() -> np.ndarray:
    """The same noise stripe on nobody."""
    return np.random.default_rng(4).integers(0, 256, (200, 200, 3), np.uint8)
