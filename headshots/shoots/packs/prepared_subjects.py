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
from headshots.shoots.lifecycle import record_pack, set_back
from headshots.shoots.models import Pack, Photo, Preparation, Shoot
from headshots.shoots.packs import leases
from headshots.shoots.packs.leases import KeepGoing, lease_end
from headshots.shoots.self_description import read_person
from headshots.vault import services as vault
from headshots.vault.errors import BlobCorrupt, BlobMissing

log = logging.getLogger(__name__)
MAX_IN_MEMORY = 2


class PreparedElsewhere(Exception):
    """Another worker is preparing this person; it wakes others when it is done."""


_sittings: OrderedDict[uuid.UUID, engine.Sitter] = OrderedDict()


def sitting_of(pack: Pack, size: engine.Size, keep_going: KeepGoing) -> engine.Sitter:
    """This pack's person, from memory, from the vault, or prepared now.

    Raises PreparedElsewhere, KeyGone, and whatever the engine raises."""
    if pack.pk not in _sittings:
        while len(_sittings) >= MAX_IN_MEMORY:
            _sittings.popitem(last=False)
        wanted = _photos_of(pack)
        words = read_person(shoot=pack.shoot)
        if engine.keeps_sitters(size):
            _sittings[pack.pk] = _shared(pack, wanted, words, size, keep_going)
        else:
            _sittings[pack.pk] = engine.prepare(wanted, size, keep_going, words)
    _sittings.move_to_end(pack.pk)
    return _sittings[pack.pk]


def _photos_of(pack: Pack) -> list[engine.StoredPhoto]:
    """Best first. A trial is of the sample; the preview of the best photo alone; a pack spreads over all of them."""
    if pack.kind == Pack.Kind.TRIAL:
        return [sample_photo()]
    photos = best_first(pack.shoot.photos.select_related("blob", "faces_blob"))
    return [stored(photo) for photo in (photos[:1] if pack.kind == Pack.Kind.PREVIEW else photos)]


def is_being_prepared(pack: Pack) -> bool:
    """Whether another worker is preparing this pack's person now."""
    return Preparation.objects.filter(pack=pack, blob=None, lease_until__gte=timezone.now()).exists()


def drop_ended() -> None:
    """Forget everybody whose pack has ended or whose shoot was closed, whoever ended it."""
    if not _sittings:
        return
    wanted = set(
        Pack.objects.filter(
            pk__in=list(_sittings), state=Pack.State.RENDERING, shoot__state=Shoot.State.OPEN
        ).values_list("pk", flat=True)
    )
    for pack_id in set(_sittings) - wanted:
        del _sittings[pack_id]


def drop_kept(pack: Pack) -> None:
    """Remove from the vault what preparing this pack's person brought. Safe to repeat."""
    for preparation in Preparation.objects.filter(pack=pack).select_related("blob"):
        if preparation.blob is not None:
            vault.delete_blob(preparation.blob)
        preparation.delete()


def _shared(
    pack: Pack,
    photos: Sequence[engine.StoredPhoto],
    words: engine.Person,
    size: engine.Size,
    keep_going: KeepGoing,
) -> engine.Sitter:
    """What another worker prepared, or else prepared here and kept for the others."""
    ready = Preparation.objects.filter(pack=pack, blob__isnull=False).select_related("blob").first()
    if ready is not None and ready.blob is not None:
        try:
            return engine.thaw(vault.read_blob(ready.blob), photos, size, words)
        except (ValueError, BlobMissing, BlobCorrupt) as error:
            # Of another release, or lost: it costs time to do it again, nothing else.
            log.warning("pack %s: its prepared person cannot be used: %s", pack.pk, type(error).__name__)
            drop_kept(pack)
    token = _take(pack)
    if token is None:
        raise PreparedElsewhere
    keep_going.preparation = token
    mine = Preparation.objects.filter(lease_token=token, blob=None)
    began = time.monotonic()
    try:
        sitter = engine.prepare(photos, size, keep_going, words)
        blob = vault.write_blob(ring="source", key_id=pack.shoot_id, kind="subject", data=engine.freeze(sitter))
    except BaseException:
        mine.delete()
        raise
    finally:
        keep_going.preparation = None
    if not mine.filter(pack__state=Pack.State.RENDERING).update(blob=blob, share=1.0, lease_until=timezone.now()):
        vault.delete_blob(blob)
        raise engine.Cancelled
    numbers = {"seconds": round(time.monotonic() - began, 1), "photos": len(photos)}
    record_pack(pack, "prepared", numbers=numbers)
    return sitter


def _take(pack: Pack) -> uuid.UUID | None:
    """The token of a lease on preparing this pack's person; None while another worker holds it, or has done it.

    Raises Cancelled when too many have been killed over it."""
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
        # Whoever held it was killed over it, perhaps by it.
        if set_back(pack, "engine_failed"):
            raise engine.Cancelled from None
    return token


_FILE = "static/img/example-source.jpg"


@cache
def sample_photo() -> engine.StoredPhoto:
    """The photo and where the face is in it. Nobody's secret: it needs no vault."""
    photo = (settings.BASE_DIR / _FILE).read_bytes()
    checked = engine.check(photo)
    assert checked.face is not None, f"{_FILE} must show exactly one face"
    return engine.StoredPhoto(photo=photo, faces=checked.faces, chosen=checked.face)


def best_first(photos: Iterable[Photo]) -> list[Photo]:
    """The usable photos, those of the highest score first."""
    usable = [photo for photo in photos if photo.state in Photo.USABLE]
    return sorted(usable, key=lambda photo: (-(photo.score or 0), photo.position))


def stored(photo: Photo) -> engine.StoredPhoto:
    """The photo out of the vault. Raises KeyGone."""
    assert photo.faces_blob is not None
    return engine.StoredPhoto(
        photo=vault.read_blob(photo.blob), faces=vault.read_blob(photo.faces_blob), chosen=photo.chosen_face or 0
    )
