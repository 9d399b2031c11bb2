"""Kill a process at one of its steps, for good: a child that does the work and SIGKILLs itself at the n-th change to
the disk or the database. Run as a script by test_kill_nine.py, with a data folder of its own."""

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import django

django.setup()

import time_machine
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from headshots.accounts.models import User
from headshots.engine import PersonKind, SelfDescription
from headshots.retention.due import purge_due
from headshots.retention.models import DeletionCertificate
from headshots.retention.orphans import sweep_orphans
from headshots.retention.purging import purge_shoots
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.looks.versions import seed_styles
from headshots.shoots.models import Consent, Event, FaceCrop, Headshot, Pack, Photo, Shoot, Style
from headshots.shoots.uploads.new_shoot import open_shoot
from headshots.vault import services as vault
from headshots.vault.errors import BlobMissing, KeyGone
from headshots.vault.models import Blob, Ring
from headshots.vault.rings import open_ring

CHANGES = {"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Whether a child that does `act` was killed at its step, before that change. Raises when it failed otherwise."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        _count_down(step)
        try:
            with connection.execute_wrapper(_query):
                act()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if os.WEXITSTATUS(status) != 0:
        raise RuntimeError(f"the work failed at step {step}")
    return False


_left = -1


def _count_down(step: int) -> None:
    global _left
    _left = step
    sys.addaudithook(_seen)
    fsync, commit = os.fsync, connection._commit
    os.fsync = lambda descriptor: (_one_step(), fsync(descriptor))[1]
    connection._commit = lambda: (_one_step(), commit())[1]


def _one_step() -> None:
    global _left
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    _left -= 1


def _seen(event: str, arguments: tuple[object, ...]) -> None:
    if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
        _one_step()


def _query(execute, sql, parameters, many, context):
    if sql.startswith(("INSERT", "UPDATE", "DELETE")):
        _one_step()
    return execute(sql, parameters, many, context)


def leftovers() -> dict[str, int]:
    """All that is private and there."""
    return {
        "files": sum(1 for path in (settings.HEADSHOTS_DATA_DIR / "blobs").rglob("*") if path.is_file()),
        "keys": sum(len(open_ring(ring).key_ids()) for ring in Ring),
        "blobs": Blob.objects.count(),
        "photos": Photo.objects.count(),
        "crops": FaceCrop.objects.count(),
        "headshots": Headshot.objects.count(),
    }


def settle() -> None:
    """What beat does within the next hours."""
    purge_due()
    now = timezone.now()
    for hours in (2, 3, 4):
        with time_machine.travel(now + timedelta(hours=hours), tick=True):
            purge_due()
            sweep_orphans()


def kill_uploads() -> int:
    """All of an upload or nothing, whenever it was killed; how many steps it has."""
    owner, step = User.objects.create_user("person@example.org"), 0
    settings.HEADSHOTS_PREVIEWS_PER_DAY = 10_000
    pictures = [b"\xff\xd8 one photo" * 9000, b"\xff\xd8 another" * 9000]
    person = SelfDescription(PersonKind.WOMAN, headscarf=True)
    while killed_at(step, lambda: open_shoot(owner=owner, photos=pictures, self_description=person)):
        settle()
        whole = {"files": 3, "keys": 1, "blobs": 3, "photos": 2, "crops": 0, "headshots": 0}
        shoot = Shoot.objects.first()
        if shoot is None:
            assert not any(leftovers().values()), (step, leftovers())
            assert not Consent.objects.exists()
            assert not Event.objects.exists()
        else:
            assert leftovers() == whole, (step, leftovers())
            assert [vault.read_blob(photo.blob) for photo in shoot.photos.all()] == pictures
            assert Consent.objects.filter(shoot=shoot).count() == 1
            delete_whole(shoot)
        step += 1
    delete_whole(Shoot.objects.get())
    return step


def delete_whole(shoot: Shoot) -> None:
    begin_purge(shoot, everything=True)
    purge_due()
    delete_rows()


def kill_purges() -> int:
    """Keys before files before rows before states, to the end, whenever it was killed; how many steps it has."""
    seed_styles()
    owner, step = User.objects.create_user("other@example.org"), 0
    while True:
        shoot = full_shoot(owner)
        begin_purge(shoot, everything=True)
        killed = killed_at(step, lambda shoot=shoot: purge_shoots(shoot_ids=[shoot.pk]))
        check_order(step)
        purge_due()
        shoot.refresh_from_db()
        assert shoot.state == Shoot.State.PURGED, step
        assert not any(leftovers().values()), (step, leftovers())
        assert Event.objects.filter(name="shoot.purged").count() == 1
        assert Event.objects.filter(name="pack.deleted").count() == 2
        assert DeletionCertificate.objects.get().key_destructions.count() == 3, step
        delete_rows()
        if not killed:
            return step
        step += 1


def full_shoot(owner: User) -> Shoot:
    """With two photos, their faces, a crop and words, a delivered and a rendering pack."""
    shoot = open_shoot(
        owner=owner, photos=[b"one", b"another"], self_description=SelfDescription(PersonKind.MAN, headscarf=True)
    )
    for photo in shoot.photos.all():
        photo.faces_blob = vault.write_blob(ring="source", key_id=shoot.pk, kind="faces", data=b"mesh")
        photo.save()
    crop = vault.write_blob(ring="source", key_id=shoot.pk, kind="face_crop", data=b"crop")
    FaceCrop.objects.create(photo=photo, index=0, blob=crop)
    for state in (Pack.State.DELIVERED, Pack.State.RENDERING):
        pack = Pack.objects.create(
            shoot=shoot, kind=Pack.Kind.TRIAL, state=state, engine="fake", total=1, seed=1, width=64, height=80
        )
        vault.create_key(ring="result", key_id=pack.pk)
        blob = vault.write_blob(ring="result", key_id=pack.pk, kind="headshot", data=b"headshot")
        Headshot.objects.create(pack=pack, index=0, style=Style.objects.first(), seed=1, state="done", blob=blob)
    return shoot


def check_order(step: int) -> None:
    """Whatever moment this is: nothing can be read any more, no row went before its file, none is done too early."""
    for blob in Blob.objects.all():
        try:
            vault.read_blob(blob)
        except (KeyGone, BlobMissing):
            continue
        # Its key is not dead yet: then everything sealed with it is still there.
        siblings = Blob.objects.filter(key_id=blob.key_id)
        assert all(vault.blob_store().path(vault.name_of(each)).exists() for each in siblings), step
    named = {str(blob_id) for blob_id in Blob.objects.values_list("id", flat=True)}
    files = {path.name for path in (settings.HEADSHOTS_DATA_DIR / "blobs").rglob("*") if path.is_file()}
    assert files <= named, (step, files - named)
    if not Shoot.objects.exclude(state=Shoot.State.PURGED).exists():
        assert not any(leftovers().values()), step


def delete_rows() -> None:
    """Proofs of the last round, so that the next one counts its own."""
    for model in (DeletionCertificate, Consent, Event, Pack, Shoot):
        model.objects.all().delete()
    from headshots.retention.models import KeyDestruction

    KeyDestruction.objects.all().delete()


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    (Path(settings.HEADSHOTS_DATA_DIR) / "blobs").mkdir(exist_ok=True)
    print(json.dumps({"uploads": kill_uploads(), "purges": kill_purges()}))
