"""An upload that is killed between any two steps: whole or not there, and beat removes what is left of it."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone
from time_machine import TimeMachineFixture

from headshots.engine import PersonKind, SelfDescription
from headshots.retention.due import purge_due
from headshots.retention.orphans import sweep_orphans
from headshots.shoots.models import Consent, Event, Photo, Shoot
from headshots.shoots.uploads.new_shoot import open_shoot
from headshots.vault import services as vault
from headshots.vault.models import Blob, Ring
from headshots.vault.rings import open_ring
from tests.helpers.factories import make_user

pytestmark = pytest.mark.django_db
PHOTOS = [b"one photo", b"another"]
PERSON = SelfDescription(PersonKind.WOMAN, headscarf=True)


class Killed(BaseException):
    """The process is gone: what it would do afterwards changes nothing either."""


@pytest.fixture(autouse=True)
def data_folder(settings: LazySettings, tmp_path: Path) -> Path:
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_PHOTO_KEYS_DIR = tmp_path / "source"
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = tmp_path / "result"
    return tmp_path / "data"


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    """Die instead of the step-th change to the disk or the database, and of every later one: cleaning up fails too."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    def counted(real: Callable[..., Any], is_change: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
        def change(*arguments: Any, **named: Any) -> Any:
            if is_change(*arguments):
                count()
            return real(*arguments, **named)

        return change

    def query(execute: Callable[..., Any], sql: str, params: object, many: bool, context: dict[str, Any]) -> object:
        if sql.startswith(("UPDATE", "DELETE", "INSERT")):
            count()
        return execute(sql, params, many, context)

    with monkeypatch.context() as patch, connection.execute_wrapper(query):
        for name in ("fsync", "link", "mkdir", "rename", "rmdir", "unlink", "utime"):
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(os, "open", counted(os.open, lambda _, flags, *__: bool(flags & (os.O_WRONLY | os.O_RDWR))))
        # `Path.open` takes it from there.
        patch.setattr(io, "open", counted(io.open, lambda _, mode="r", *__: not set(mode).isdisjoint("wax+")))
        yield


def assert_whole(shoot: Shoot) -> None:
    assert [vault.read_blob(photo.blob) for photo in shoot.photos.all()] == PHOTOS
    assert Consent.objects.filter(shoot=shoot).count() == 1
    assert Event.objects.filter(shoot_id=shoot.pk).count() == 1
    assert shoot.self_description_blob is not None


def test_killed_between_any_two_steps_an_upload_is_whole_or_leaves_nothing(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, time_machine: TimeMachineFixture
) -> None:
    steps, unfinished = 0, 0
    while True:
        owner = make_user()
        try:
            with killed_at(monkeypatch, steps):
                open_shoot(owner=owner, photos=PHOTOS, self_description=PERSON)
        except Killed:
            unfinished += not Shoot.objects.filter(owner=owner).exists()
            steps += 1
        else:
            break
    now = timezone.now()
    for hours in (2, 3, 4):
        time_machine.move_to(now + timedelta(hours=hours))
        purge_due()
        sweep_orphans()

    shoots = list(Shoot.objects.all())
    for shoot in shoots:
        assert_whole(shoot)
    # Whatever was left of the others is gone: two photos and a description are all that a shoot has.
    assert len(shoots) == steps - unfinished + 1
    assert Photo.objects.count() == Consent.objects.count() * 2 == len(shoots) * 2
    assert Event.objects.count() == len(shoots)
    assert set(open_ring(Ring.SOURCE).key_ids()) == {shoot.pk for shoot in shoots}
    files = {path.name for path in (data_folder / "blobs").rglob("*") if path.is_file()}
    assert files == {str(blob_id) for blob_id in Blob.objects.values_list("id", flat=True)}
    assert len(files) == 3 * len(shoots)
    # It was killed at each of its steps, and there were many.
    assert unfinished > 25, (steps, unfinished)
