"""Order packs: plan their shots, queue and cancel them."""

import secrets
from collections.abc import Sequence
from enum import StrEnum

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from headshots import engine
from headshots.shoots.lifecycle import advance, has_finished_headshots, record_pack, start_tasks
from headshots.shoots.models import Event, Headshot, Pack, Photo, Shoot, Style
from headshots.vault import services as vault


class CannotOrder(Exception):
    """Raised when a pack cannot be ordered. `reason` is the cause."""

    class Reason(StrEnum):
        SHOOT_CLOSED = "shoot_closed"
        NO_PHOTO = "no_photo"
        PACK_IS_LIVE = "pack_is_live"
        TOO_FEW_LOOKS = "too_few_looks"

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def start_preview(*, shoot: Shoot, count: int) -> Pack | None:
    """Order and queue the free pack of this shoot.

    Returns None if the shoot is closed or already has a free pack."""
    styles = list(Style.objects.filter(active=True, in_preview=True))
    pack = _new_pack(shoot, Pack.Kind.PREVIEW, Pack.State.QUEUED, count, engine.PREVIEW)
    try:
        with transaction.atomic():
            if not _lock_open_shoot(shoot):
                return None
            _store(pack, _plan(pack, styles))
    except IntegrityError:
        # Another worker ordered the preview at the same time.
        return None
    return pack


def order_premium(*, shoot: Shoot, styles: Sequence[Style], queued: bool) -> Pack:
    """Order a premium pack of this shoot in these looks: plan its shots, and create its key.

    queued: True queues the pack at once. False lets it await its payment.
    Raises CannotOrder, also while another premium pack of the shoot has not ended."""
    size = engine.premium_size(settings.HEADSHOTS_PREMIUM_LONG_EDGE)
    state = Pack.State.QUEUED if queued else Pack.State.AWAITING_PAYMENT
    pack = _new_pack(shoot, Pack.Kind.PREMIUM, state, settings.HEADSHOTS_PREMIUM_COUNT, size)
    try:
        rows = _plan(pack, styles)
    except ValueError as error:
        raise CannotOrder(CannotOrder.Reason.TOO_FEW_LOOKS) from error
    try:
        with transaction.atomic():
            if not _lock_open_shoot(shoot):
                raise CannotOrder(CannotOrder.Reason.SHOOT_CLOSED)
            if not shoot.photos.filter(state__in=Photo.USABLE).exists():
                raise CannotOrder(CannotOrder.Reason.NO_PHOTO)
            _store(pack, rows)
    except IntegrityError as error:
        raise CannotOrder(CannotOrder.Reason.PACK_IS_LIVE) from error
    return pack


def cancel_pack(*, pack: Pack, actor: str = Event.Actor.PERSON) -> bool:
    """Cancel a pack before its first headshot is available.

    Returns True if this call canceled the pack. With a finished headshot, the pack counts as what was paid for."""
    with transaction.atomic():
        # Lock the pack, so that no picture can be stored between the check and the cancellation.
        Pack.objects.select_for_update().get(pk=pack.pk)
        if has_finished_headshots(pack):
            return False
        return advance(pack, Pack.State.CANCELED, actor=actor, reason=Pack.Reason.ON_REQUEST)


def answer_incomplete(*, pack: Pack, keep: bool, actor: str = Event.Actor.PERSON) -> bool:
    """Deliver or cancel an incomplete pack, as the customer chose.

    Returns True if this call moved the pack. Returns False if the pack does not await an answer, for example because
    its photos have been purged meanwhile."""
    with transaction.atomic():
        # The lock makes a purge wait, which would deliver the pack.
        if not Pack.objects.select_for_update().filter(pk=pack.pk, state=Pack.State.AWAITING_ANSWER).exists():
            return False
        if keep:
            return advance(pack, Pack.State.DELIVERED, actor=actor)
        return advance(pack, Pack.State.CANCELED, actor=actor, reason=Pack.Reason.INCOMPLETE)


def stop_pack(*, pack: Pack, actor: str = Event.Actor.PERSON) -> bool:
    """Stop a pack in progress and deliver its finished headshots, as an incomplete pack.

    Returns True if this call delivered the pack. Returns False if the pack is not in progress, or none is finished."""
    with transaction.atomic():
        # The lock makes a worker wait that is about to store a picture. It then finds the pack delivered.
        locked = Pack.objects.select_for_update().filter(
            pk=pack.pk, state__in=[Pack.State.QUEUED, Pack.State.RENDERING]
        )
        if not locked.exists() or not has_finished_headshots(pack):
            return False
        # From the queue, where a pause put it back. Otherwise this changes nothing.
        advance(pack, Pack.State.RENDERING, actor=actor)
        return advance(pack, Pack.State.AWAITING_ANSWER, actor=actor) and advance(
            pack, Pack.State.DELIVERED, actor=actor
        )


def visible_packs() -> QuerySet[Pack]:
    """Select all packs, except premium packs whose order ended before it was paid."""
    unpaid = Q(kind=Pack.Kind.PREMIUM, queued_at__isnull=True)
    return Pack.objects.filter(~unpaid | Q(state=Pack.State.AWAITING_PAYMENT))


def running_pack(shoots: QuerySet[Shoot]) -> str:
    """Return which paid pack the deletion of these shoots would stop.

    Returns "" for none. Returns "begun" for a pack without a finished headshot, and "shown" for a pack with one, which
    would count as used. Returns "incomplete" for a pack that awaits an answer, and would count as accepted."""
    running = Pack.objects.filter(shoot__in=shoots, kind=Pack.Kind.PREMIUM, state__in=Pack.IN_WORK)
    if running.filter(state=Pack.State.AWAITING_ANSWER).exists():
        return "incomplete"
    if running.filter(headshots__state=Headshot.State.DONE).exists():
        return "shown"
    return "begun" if running.exists() else ""


def _new_pack(shoot: Shoot, kind: str, state: str, count: int, size: engine.Size) -> Pack:
    return Pack(
        shoot=shoot,
        kind=kind,
        state=state,
        engine=engine.engine_name(),
        total=count,
        seed=secrets.randbelow(2**31),
        width=size.width,
        height=size.height,
        queued_at=timezone.now() if state == Pack.State.QUEUED else None,
    )


def _lock_open_shoot(shoot: Shoot) -> bool:
    """Lock the shoot against a purge until the transaction ends. Returns False if the shoot is closed."""
    return Shoot.objects.filter(pk=shoot.pk, state=Shoot.State.OPEN).select_for_update().exists()


def _store(pack: Pack, rows: Sequence[Headshot]) -> None:
    pack.save(force_insert=True)
    Headshot.objects.bulk_create(rows)
    record_pack(pack, pack.state)
    start_tasks(pack.state, pack.pk)
    vault.create_key(ring="result", key_id=pack.pk)


def _plan(pack: Pack, styles: Sequence[Style]) -> list[Headshot]:
    by_name = {style.name: style for style in styles}
    looks = [engine.style_from(name=style.name, title=style.title, recipe=style.recipe) for style in styles]
    return [
        Headshot(
            pack=pack,
            index=shot.index,
            style=by_name[shot.style.name],
            version_id=by_name[shot.style.name].current_id,
            seed=shot.seed,
            framing=shot.framing,
            light=shot.light,
        )
        for shot in engine.plan(looks, pack.total, pack.seed)
    ]
