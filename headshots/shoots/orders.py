"""Packs: what is to be shot."""

import secrets

from django.db import IntegrityError, transaction
from django.utils import timezone

from headshots import engine
from headshots.shoots.lifecycle import record_pack, start_tasks
from headshots.shoots.models import Headshot, Pack, Shoot, Style
from headshots.vault import services as vault


def start_preview(*, shoot: Shoot, count: int) -> Pack | None:
    """The free pack of this shoot, queued; None when it has one already or is closed."""
    styles = list(Style.objects.filter(active=True, in_preview=True))
    seed = secrets.randbelow(2**31)
    pack = Pack(
        shoot=shoot,
        kind=Pack.Kind.PREVIEW,
        state=Pack.State.QUEUED,
        engine=engine.engine_name(),
        total=count,
        seed=seed,
        width=engine.PREVIEW.width,
        height=engine.PREVIEW.height,
        queued_at=timezone.now(),
    )
    try:
        with transaction.atomic():
            # Locks the shoot against a purge that starts now.
            if not Shoot.objects.filter(pk=shoot.pk, state=Shoot.State.OPEN).select_for_update().exists():
                return None
            pack.save(force_insert=True)
            _plan(pack, styles)
            record_pack(pack, "queued")
            start_tasks(Pack.State.QUEUED, pack.pk)
            vault.create_key(ring="result", key_id=pack.pk)
    except IntegrityError:
        # Another worker settled the last photo at the same moment.
        return None
    return pack


def _plan(pack: Pack, styles: list[Style]) -> None:
    by_name = {style.name: style for style in styles}
    looks = [engine.style_from(name=style.name, title=style.title, recipe=style.recipe) for style in styles]
    Headshot.objects.bulk_create(
        Headshot(pack=pack, index=shot.index, style=by_name[shot.style.name], seed=shot.seed)
        for shot in engine.plan(looks, pack.total, pack.seed)
    )
