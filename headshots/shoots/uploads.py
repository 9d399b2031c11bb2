"""From uploaded bytes to an open shoot whose photos wait for their check."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from headshots.accounts.models import User
from headshots.shoots.consent import current
from headshots.shoots.lifecycle import record, send_on_commit
from headshots.shoots.models import Consent, Event, Pack, Photo, Shoot
from headshots.vault import services as vault


def previews_left(owner: User) -> int:
    """How many free packs this account may still have within 24 hours, counting the one about to be asked for."""
    since = timezone.now() - timedelta(days=1)
    shoots = Shoot.objects.filter(owner=owner, created_at__gt=since)
    # A shoot whose photos were all refused has cost nothing and is not counted.
    used = shoots.filter(packs__kind=Pack.Kind.PREVIEW).count()
    allowed: int = settings.HEADSHOTS_PREVIEWS_PER_DAY
    return max(0, allowed - used)


def open_shoot(*, owner: User, photos: Sequence[bytes]) -> Shoot:
    """A shoot with its consent, its key and its photos in the vault, all of it or nothing.

    `photos` are cleaned JPEGs. The consent is stored before anything looks at a face."""
    now = timezone.now()
    ttl = timedelta(seconds=settings.HEADSHOTS_SOURCE_TTL_SECONDS)
    # Purged a little before the key dies by itself: five minutes of twenty-four hours.
    shoot = Shoot(id=uuid.uuid4(), owner=owner, created_at=now, delete_after=now + ttl - ttl / 288)
    vault.create_key(ring="source", key_id=shoot.pk, expires_at=now + ttl)
    try:
        with transaction.atomic():
            shoot.save(force_insert=True)
            Consent.objects.create(
                shoot=shoot,
                consent_version=current("consent").version,
                is_me_version=current("is_me").version,
                given_at=now,
            )
            record("shoot.opened", shoot_id=shoot.pk, actor=Event.Actor.PERSON, numbers={"photos": len(photos)})
            for position, data in enumerate(photos):
                blob = vault.write_blob(ring="source", key_id=shoot.pk, kind="photo", data=data)
                photo = Photo.objects.create(shoot=shoot, position=position, blob=blob)
                send_on_commit("shoots.check_photo", str(photo.pk))
    except BaseException:
        # The rows have rolled back; without its key whatever reached the disk is noise until the sweep finds it.
        vault.destroy_key(ring="source", key_id=shoot.pk)
        raise
    return shoot
