"""Cache of prepared subjects. Each pack's subject is prepared once, by the first worker that needs it.

Keeps at most two in memory. Expensive results are also stored in the vault under the photos' key, for other workers
and for restarts, and are deleted when the pack ends.
"""

import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cache

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from headshots import engine
from headshots.shoots.lifecycle import record_failure, record_pack
from headshots.shoots.models import Pack, Photo, Preparation, Shoot
from headshots.shoots.packs import leases
from headshots.shoots.packs.leases import LeaseRenewer, lease_end
from headshots.shoots.self_description import read_self_description
from headshots.vault import services as vault
from headshots.vault.errors import BlobCorrupt, BlobMissing

log = logging.getLogger(__name__)
MAX_IN_MEMORY = 2


class PreparationInProgress(Exception):
    """Another worker is preparing this subject, and queues the pack again when the subject is ready."""


_prepared_subjects: OrderedDict[uuid.UUID, engine.PreparedSubject] = OrderedDict()


def get_prepared_subject(pack: Pack, size: engine.Size, renew_leases: LeaseRenewer) -> engine.PreparedSubject:
    """Return this pack's prepared subject: from memory, from the vault, or prepared now.

    Raises PreparationInProgress, KeyGone, other errors of the vault, and errors of the engine."""
    if pack.pk not in _prepared_subjects:
        while len(_prepared_subjects) >= MAX_IN_MEMORY:
            _prepared_subjects.popitem(last=False)
        wanted = _photos_of(pack)
        self_description = read_self_description(shoot=pack.shoot)
        if engine.should_share(size):
            _prepared_subjects[pack.pk] = _get_shared(pack, wanted, self_description, size, renew_leases)
        else:
            _prepared_subjects[pack.pk] = engine.prepare(wanted, size, renew_leases, self_description)
    _prepared_subjects.move_to_end(pack.pk)
    return _prepared_subjects[pack.pk]


def _photos_of(pack: Pack) -> list[engine.StoredPhoto]:
    """Load the photos from which a pack is rendered, best first.

    A trial uses the sample photo, a preview only the best photo, and a premium pack all usable photos."""
    if pack.kind == Pack.Kind.TRIAL:
        return [sample_photo()]
    photos = best_first(pack.shoot.photos.select_related("blob", "faces_blob"))
    return [load_stored_photo(photo) for photo in (photos[:1] if pack.kind == Pack.Kind.PREVIEW else photos)]


def is_being_prepared(pack: Pack) -> bool:
    """Return True while a worker holds the lease on preparing this pack's subject."""
    return Preparation.objects.filter(pack=pack, blob=None, lease_until__gte=timezone.now()).exists()


def evict_ended() -> None:
    """Evict the subjects of packs that have ended or whose shoot was closed from memory."""
    if not _prepared_subjects:
        return
    wanted = set(
        Pack.objects.filter(
            pk__in=list(_prepared_subjects), state=Pack.State.RENDERING, shoot__state=Shoot.State.OPEN
        ).values_list("pk", flat=True)
    )
    for pack_id in set(_prepared_subjects) - wanted:
        del _prepared_subjects[pack_id]


def delete_prepared_subject(pack: Pack) -> None:
    """Delete this pack's prepared subject from the vault. Safe to repeat."""
    for preparation in Preparation.objects.filter(pack=pack).select_related("blob"):
        if preparation.blob is not None:
            vault.delete_blob(preparation.blob)
        preparation.delete()


def _get_shared(
    pack: Pack,
    photos: Sequence[engine.StoredPhoto],
    self_description: engine.SelfDescription,
    size: engine.Size,
    renew_leases: LeaseRenewer,
) -> engine.PreparedSubject:
    """Return the subject that another worker prepared, or prepare the subject and store it for other workers."""
    ready = Preparation.objects.filter(pack=pack, blob__isnull=False).select_related("blob").first()
    if ready is not None and ready.blob is not None:
        try:
            return engine.deserialize(vault.read_blob(ready.blob), photos, size, self_description)
        except (ValueError, BlobMissing, BlobCorrupt) as error:
            # Written by another release, or lost. Preparing the subject again only costs time.
            log.warning("pack %s: its prepared subject cannot be used: %s", pack.pk, type(error).__name__)
            delete_prepared_subject(pack)
    token = _claim_preparation(pack)
    if token is None:
        raise PreparationInProgress
    renew_leases.preparation = token
    mine = Preparation.objects.filter(lease_token=token, blob=None)
    began = time.monotonic()
    try:
        prepared_subject = engine.prepare(photos, size, renew_leases, self_description)
        blob = vault.write_blob(
            ring="source", key_id=pack.shoot_id, kind="subject", data=engine.serialize(prepared_subject)
        )
    except BaseException:
        mine.delete()
        raise
    finally:
        renew_leases.preparation = None
    if not mine.filter(pack__state=Pack.State.RENDERING).update(blob=blob, share=1.0, lease_until=timezone.now()):
        vault.delete_blob(blob)
        raise engine.Canceled
    numbers = {"seconds": round(time.monotonic() - began, 1), "photos": len(photos)}
    record_pack(pack, "prepared", numbers=numbers)
    return prepared_subject


def _claim_preparation(pack: Pack) -> uuid.UUID | None:
    """Lease the preparation of this pack's subject, and return the lease's token.

    Returns None if another worker holds the lease or has finished. Taking over an expired lease counts as a failed run.
    Raises Canceled if that was the last failure allowed."""
    now, token = timezone.now(), uuid.uuid4()
    lease = {
        "lease_token": token,
        "lease_until": lease_end(),
        "lease_holder": leases.node_name,
        "began_at": now,
        "share": 0.0,
    }
    try:
        with transaction.atomic():
            Preparation.objects.create(pack=pack, **lease)
    except IntegrityError:
        if not Preparation.objects.filter(pack=pack, blob=None, lease_until__lt=now).update(**lease):
            return None
        # The previous holder was killed during the preparation, and the preparation may be the cause.
        if record_failure(pack, Pack.Reason.ENGINE_FAILED):
            raise engine.Canceled from None
    return token


_FILE = "static/img/example-source.jpg"


@cache
def sample_photo() -> engine.StoredPhoto:
    """Return the built-in sample photo with its face. The photo is public, so it is not in the vault."""
    photo = (settings.BASE_DIR / _FILE).read_bytes()
    checked = engine.check(photo)
    assert checked.face is not None, f"{_FILE} must show exactly one face"
    return engine.StoredPhoto(photo=photo, faces=checked.faces, chosen=checked.face)


def best_first(photos: Iterable[Photo]) -> list[Photo]:
    """Return the usable photos, those with the highest score first."""
    usable = [photo for photo in photos if photo.state in Photo.USABLE]
    return sorted(usable, key=lambda photo: (-(photo.score or 0), photo.position))


def load_stored_photo(photo: Photo) -> engine.StoredPhoto:
    """Load a photo and its faces from the vault.

    Raises KeyGone, BlobMissing, BlobCorrupt, VaultUnavailable."""
    assert photo.faces_blob is not None
    return engine.StoredPhoto(
        photo=vault.read_blob(photo.blob), faces=vault.read_blob(photo.faces_blob), chosen=photo.chosen_face or 0
    )
