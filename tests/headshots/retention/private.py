"""Shoots, packs and blobs to be forgotten, and what is left of them."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from headshots.accounts.models import User
from headshots.shoots.models import Consent, Event, FaceCrop, Headshot, Pack, Photo, Shoot, Style
from headshots.vault import services as vault
from headshots.vault.models import Blob
from headshots.vault.services import blob_store, name_of
from headshots.vault.store import FileStore

DAY = timedelta(days=1)


only_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite's own files")


def make_shoot(owner: User | None, *, due_in: timedelta = DAY, packs: tuple[str, ...] = ("delivered", "rendering")):
    shoot = Shoot.objects.create(owner=owner, delete_after=timezone.now() + due_in)
    vault.create_key(ring="source", key_id=shoot.pk, expires_at=timezone.now() + DAY)
    Consent.objects.create(shoot=shoot, consent_version="1", is_me_version="1")
    for position in range(2):
        photo = Photo.objects.create(
            shoot=shoot,
            position=position,
            state=Photo.State.ACCEPTED,
            blob=source_blob(shoot, "photo"),
            faces_blob=source_blob(shoot, "faces"),
        )
        FaceCrop.objects.create(photo=photo, index=0, blob=source_blob(shoot, "face_crop"))
    for state in packs:
        make_pack(shoot, state)
    return shoot


def source_blob(shoot: Shoot, kind: str) -> Blob:
    return vault.write_blob(ring="source", key_id=shoot.pk, kind=kind, data=b"a face")


def make_pack(shoot: Shoot, state: str) -> Pack:
    """A pack with one finished headshot and one that waits. Of the kind `trial`: a shoot may have any number."""
    style, _ = Style.objects.get_or_create(name="corporate", title="Corporate")
    expires_at = timezone.now() + 30 * DAY if state == "delivered" else None
    pack = Pack.objects.create(
        shoot=shoot,
        kind=Pack.Kind.TRIAL,
        state=state,
        engine="fake",
        total=2,
        seed=1,
        width=64,
        height=80,
        expires_at=expires_at,
    )
    vault.create_key(ring="result", key_id=pack.pk)
    blob = vault.write_blob(ring="result", key_id=pack.pk, kind="headshot", data=b"a headshot")
    Headshot.objects.create(pack=pack, index=0, style=style, seed=1, state=Headshot.State.DONE, blob=blob)
    Headshot.objects.create(pack=pack, index=1, style=style, seed=2)
    return pack


def pack_in(shoot: Shoot, state: str) -> Pack:
    return Pack.objects.get(shoot=shoot, state=state)


def path_of(blob: Blob) -> Path:
    store = blob_store()
    assert isinstance(store, FileStore)
    return store.path(name_of(blob))


def blob_files(data_folder: Path) -> list[Path]:
    return [path for path in (data_folder / "blobs").rglob("*") if path.is_file()]


def source_key_lives(shoot: Shoot) -> bool:
    return vault.key_exists(ring="source", key_id=shoot.pk)


def events(shoot: Shoot) -> list[str]:
    return list(Event.objects.filter(shoot_id=shoot.pk).values_list("name", flat=True))


def state_of(shoot: Shoot) -> str:
    shoot.refresh_from_db()
    return shoot.state
