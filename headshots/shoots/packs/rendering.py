"""Render a pack: claim rows, render, judge and store them, until no row is left.

No transaction is open while the engine works. Leases keep two workers off the same row (leases.py).
"""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from django.db import Error as DatabaseFault
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from headshots import engine
from headshots.celery import app, send_on_commit
from headshots.shoots.lifecycle import (
    advance,
    close_without_key,
    is_awaiting_retry,
    record,
    record_failure,
    return_to_queue,
)
from headshots.shoots.live import nudge
from headshots.shoots.models import GateCount, Headshot, Pack, Pause, Shoot
from headshots.shoots.packs import gating, leases, prepared_subjects
from headshots.shoots.packs.leases import LeaseRenewer, lease_end
from headshots.shoots.packs.prepared_subjects import get_prepared_subject
from headshots.shoots.pauses import is_paused
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone, VaultError, VaultUnavailable
from headshots.vault.models import Blob

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
_State = Headshot.State


class SaveResult(Enum):
    """The result of saving a picture that the quality gate accepted."""

    SAVED = "saved"
    # The picture looks like another picture of its pack.
    TOO_ALIKE = "too_alike"
    # Another worker took the row over, or the pack or its shoot ended, while the picture was made.
    LEASE_LOST = "lease_lost"


@dataclass
class Tally:
    """The work of one worker on one pack: counts by name, and seconds of rendering without preparation."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    has_enqueued_another: bool = False


@dataclass(frozen=True)
class RunOutcome:
    """The consequences for a pack when a run ends with an exception.

    line: log message. If empty, the exception's message is logged.
    level: level of that message.
    reason: reason to record for the failed run. Empty: no failure is recorded, and the pack is continued later.
    closes_shoot: close the shoot, because its key is gone.
    reraise: True for unexpected errors, so that they reach the error reports, which log them.
    """

    line: str = ""
    level: int = logging.ERROR
    reason: str = ""
    closes_shoot: bool = False
    reraise: bool = False


# The first row that matches an exception is used, so subclasses come before their base classes.
RUN_OUTCOMES: tuple[tuple[type[Exception], RunOutcome], ...] = (
    (engine.Canceled, RunOutcome("stopped, because the pack was canceled or paused", logging.INFO)),
    (prepared_subjects.PreparationInProgress, RunOutcome("another worker is preparing its subject", logging.INFO)),
    # The key expired, or its ring was lost: the photos cannot be read anymore.
    (KeyGone, RunOutcome("the key of its photos no longer exists", logging.INFO, closes_shoot=True)),
    # Nothing is lost: beat queues the pack again.
    (VaultUnavailable, RunOutcome("waiting for the vault: {error}")),
    # The operator reads these in the log: a full disk, a missing photo file, a corrupt model.
    (OSError, RunOutcome(reason=Pack.Reason.STORAGE_FAILED)),
    (VaultError, RunOutcome(reason=Pack.Reason.STORAGE_FAILED)),
    (engine.WeightsError, RunOutcome(reason=Pack.Reason.ENGINE_BROKEN)),
    (engine.SigningFailed, RunOutcome(reason=Pack.Reason.ENGINE_BROKEN)),
    (DatabaseFault, RunOutcome(reason=Pack.Reason.STORAGE_FAILED, reraise=True)),
    # The photo passed the check, but this engine uses its own face detector.
    (engine.FaceNotFound, RunOutcome(reason=engine.Reason.NO_FACE.value, reraise=True)),
    (engine.PipelineError, RunOutcome(reason=Pack.Reason.ENGINE_BROKEN, reraise=True)),
    (Exception, RunOutcome(reason=Pack.Reason.ENGINE_FAILED, reraise=True)),
)


def render_pack(*, pack: Pack) -> None:
    """Render the unfinished shots of a pack.

    Safe to run twice, and on several workers concurrently. A pack that is paused or awaits its retry is returned to
    the queue."""
    prepared_subjects.evict_ended()
    if is_paused(Pause.Part.RENDERING) or is_awaiting_retry(pack):
        # A pack of a killed worker is still in the state RENDERING, and would count as active.
        return_to_queue(pack)
        return
    advance(pack, Pack.State.RENDERING)
    size, tally = engine.Size(pack.width, pack.height), Tally()
    try:
        while not prepared_subjects.is_being_prepared(pack):
            rows = claim(pack, engine.capacity(size))
            if not rows:
                break
            _render_rows(pack, size, rows, tally)
    except Exception as error:
        if not _end_run(pack, error):
            raise
    finally:
        _record_run(pack, tally)
        _finish(pack)
        prepared_subjects.evict_ended()
        nudge(pack.shoot_id)


def claim(pack: Pack, count: int, token: uuid.UUID | None = None) -> list[Headshot]:
    """Lease up to `count` rows that are free, or whose lease expired, and return them.

    token: the token of the lease. None: a new token.
    Returns fewer rows than are free, or none, if another worker was faster. Beat queues the pack again for the rest.
    Rejects free rows that have used up `MAX_ATTEMPTS`."""
    if is_paused(Pause.Part.RENDERING):
        return []
    now = timezone.now()
    token = token or uuid.uuid4()
    free = Q(state=_State.PENDING) | Q(state=_State.RENDERING, lease_until__lt=now)
    rows = Headshot.objects.filter(
        free, pack=pack, pack__state=Pack.State.RENDERING, pack__shoot__state=Shoot.State.OPEN
    )
    with transaction.atomic():
        # Workers were killed or the engine failed `MAX_ATTEMPTS` times on these rows. Do not try them again.
        rows.filter(attempts__gte=MAX_ATTEMPTS).update(
            state=_State.REJECTED, reasons=[Pack.Reason.ENGINE_FAILED], lease_token=None, lease_until=None
        )
        ids = list(rows.values_list("pk", flat=True)[:count])
        Headshot.objects.filter(free, pk__in=ids).update(
            state=_State.RENDERING,
            lease_token=token,
            lease_until=lease_end(),
            lease_holder=leases.node_name,
            attempts=F("attempts") + 1,
        )
    return list(Headshot.objects.filter(pk__in=ids, lease_token=token).select_related("style", "version"))


def resume_after_crash() -> None:
    """Release the leases that this worker held when it was killed, and queue their packs again."""
    for pack_id in leases.free_own_leases():
        log.info("pack %s: resuming after a worker crash", pack_id)
        app.send_task("shoots.render_pack", args=[str(pack_id)])


def _render_rows(pack: Pack, size: engine.Size, rows: Sequence[Headshot], tally: Tally) -> None:
    """Render these rows, then further free rows of the pack, until none are left."""
    token = rows[0].lease_token
    mine = Headshot.objects.filter(lease_token=token, state=_State.RENDERING)
    renew_leases = LeaseRenewer(pack, token)
    try:
        prepared_subject = get_prepared_subject(pack, size, renew_leases)
        _enqueue_another(pack, tally)
        began = time.monotonic()
        batches = _claim_batches(pack, size, rows)
        with_versions = pack.kind == Pack.Kind.PREMIUM
        for finished in engine.render(prepared_subject, batches, size, renew_leases, versions=with_versions):
            row = mine.filter(index=finished.index).select_related("style", "version").first()
            if row is None:
                # The lease expired, and another worker has claimed this row and renders it again.
                log.info("pack %s: headshot %d is no longer leased here", pack.pk, finished.index)
            elif not finished.accepted:
                _refuse(pack, row, finished.reasons, tally)
            elif _save_picture(pack, row, finished, tally) is SaveResult.TOO_ALIKE:
                _refuse(pack, row, [engine.Reason.TOO_ALIKE.value], tally)
            nudge(pack.shoot_id)
            tally.seconds += time.monotonic() - began
            began = time.monotonic()
    except (prepared_subjects.PreparationInProgress, VaultUnavailable):
        # The rows did not cause this, so it must not count as one of their attempts.
        mine.update(attempts=F("attempts") - 1)
        raise
    finally:
        # Release unfinished rows at once. After kill -9 they stay leased until the lease ends or the worker restarts.
        mine.update(state=_State.PENDING, lease_token=None, lease_until=None)


def _claim_batches(pack: Pack, size: engine.Size, rows: Sequence[Headshot]) -> Iterator[list[engine.PlannedShot]]:
    """Yield the shots of these rows, then of the rows that are free when the engine asks for more.

    All of them are leased under the token of the first ones."""
    token = rows[0].lease_token
    while rows:
        yield [gating.to_planned_shot(row) for row in rows]
        rows = claim(pack, engine.capacity(size), token)


def _enqueue_another(pack: Pack, tally: Tally) -> None:
    """Queue a premium pack once more, so that another idle worker joins in. Each run does so once."""
    if tally.has_enqueued_another or pack.kind != Pack.Kind.PREMIUM:
        return
    tally.has_enqueued_another = True
    if pack.headshots.filter(state=_State.PENDING).exists():
        send_on_commit("shoots.render_pack", str(pack.pk))


def _save_picture(pack: Pack, row: Headshot, finished: engine.RenderResult, tally: Tally) -> SaveResult:
    """Store an accepted picture and finish its row. Deletes its files again if the row cannot be finished."""
    if _is_near_duplicate(pack, finished):
        return SaveResult.TOO_ALIKE
    blobs = _write_files(pack, finished)
    outcome = SaveResult.LEASE_LOST
    try:
        outcome = _finish_row(pack, row, finished, blobs)
    finally:
        if outcome is not SaveResult.SAVED:
            for blob in blobs.values():
                vault.delete_blob(blob)
    if outcome is not SaveResult.SAVED:
        return outcome
    Pack.objects.filter(pk=pack.pk, consecutive_failures__gt=0).update(consecutive_failures=0, retry_at=None)
    tally.counts["pictures"] += 1
    if finished.likeness is not None:
        tally.counts[f"likeness_{round(100 * finished.likeness)}"] += 1
    return outcome


def _finish_row(pack: Pack, row: Headshot, finished: engine.RenderResult, blobs: dict[str, Blob]) -> SaveResult:
    """Mark the row as done, unless its lease is lost or the picture looks like another one of the pack."""
    with transaction.atomic():
        # Lock the pack, because two workers may save pictures that look alike at the same time.
        Pack.objects.select_for_update().get(pk=pack.pk)
        if _is_near_duplicate(pack, finished):
            return SaveResult.TOO_ALIKE
        is_saved = _leased(pack, row).update(
            state=_State.DONE,
            **blobs,
            likeness=finished.likeness,
            quality=finished.quality,
            perceptual_hash=finished.perceptual_hash,
            renders=F("renders") + 1,
            reasons=[],
            done_at=timezone.now(),
            lease_token=None,
            lease_until=None,
        )
        if not is_saved:
            return SaveResult.LEASE_LOST
        gating.count_outcome(pack, GateCount.ACCEPTED)
    return SaveResult.SAVED


def _is_near_duplicate(pack: Pack, finished: engine.RenderResult) -> bool:
    """Return True if the picture looks like a finished picture of its pack, rendered by any worker."""
    # A preview has one picture per look, so its pictures always differ. Pictures of a trial may look alike.
    if pack.kind != Pack.Kind.PREMIUM:
        return False
    done = pack.headshots.filter(state=_State.DONE).exclude(perceptual_hash="")
    return engine.is_near_duplicate(finished.perceptual_hash, done.values_list("perceptual_hash", flat=True))


def _leased(pack: Pack, row: Headshot) -> QuerySet[Headshot]:
    """Select the row while this worker still holds its lease and its pack is being rendered."""
    return Headshot.objects.filter(
        pk=row.pk,
        lease_token=row.lease_token,
        state=_State.RENDERING,
        pack__state=Pack.State.RENDERING,
        pack__shoot__state=Shoot.State.OPEN,
    )


def _write_files(pack: Pack, finished: engine.RenderResult) -> dict[str, Blob]:
    """Write the files of a picture to the vault, all or none. Returns the blobs by field of the row."""
    assert finished.files is not None
    files = {
        "blob": finished.files.full,
        "web_blob": finished.files.web,
        "profile_blob": finished.files.profile,
        "thumbnail_blob": finished.files.thumbnail,
    }
    kinds = {"blob": "headshot", "web_blob": "web", "profile_blob": "profile", "thumbnail_blob": "thumbnail"}
    blobs: dict[str, Blob] = {}
    try:
        for name, data in files.items():
            if data is not None:
                blobs[name] = vault.write_blob(ring="result", key_id=pack.pk, kind=kinds[name], data=data)
    except BaseException as error:
        for blob in blobs.values():
            vault.delete_blob(blob)
        if isinstance(error, KeyGone):
            # This is the pack's key, not the photos': the pack was purged, so it is no longer wanted.
            raise engine.Canceled from None
        raise
    return blobs


def _refuse(pack: Pack, row: Headshot, reasons: list[str], tally: Tally) -> None:
    """Retry or replace a refused shot while the pack's budgets last. Reject the shot otherwise."""
    free = {"reasons": reasons, "lease_token": None, "lease_until": None}
    with transaction.atomic():
        mine = _leased(pack, row)
        if not mine.select_for_update().exists():
            return  # Another worker has claimed this row. It renders the row again and counts the outcome.
        gating.count_outcome(pack, reasons[0])
        changes = gating.next_try(pack, row, reasons)
        if changes is None:
            mine.update(state=_State.REJECTED, renders=F("renders") + 1, **free)
            return
        mine.update(state=_State.PENDING, attempts=0, **changes, **free)
    tally.counts.update(f"reshot_{reason}" for reason in reasons)


def outcome_of(error: Exception) -> RunOutcome:
    """Return the outcome for an exception: the first row of `RUN_OUTCOMES` that matches it."""
    outcome = next(outcome for kind, outcome in RUN_OUTCOMES if isinstance(error, kind))
    if isinstance(error, engine.PhotoRefused):
        return replace(outcome, reason=error.reason.value)
    return outcome


def _end_run(pack: Pack, error: Exception) -> bool:
    """Apply the outcome of an exception to the pack. Returns False if the exception has to be raised again."""
    outcome = outcome_of(error)
    if not outcome.reraise:
        line = outcome.line.format(error=error) or f"{type(error).__name__}: {error}"
        log.log(outcome.level, "pack %s: %s", pack.pk, line)
    if outcome.closes_shoot:
        close_without_key(pack.shoot)
    if outcome.reason:
        record_failure(pack, outcome.reason)
    return not outcome.reraise


def _finish(pack: Pack) -> None:
    """Advance a pack without open rows: to delivered if all rows are done, otherwise as `gating.next_state` says.

    A pack with open rows is returned to the queue if rendering is paused or a retry is scheduled."""
    states = Counter(pack.headshots.values_list("state", flat=True))
    if not states or states.keys() & {_State.PENDING, _State.RENDERING}:
        return_to_queue(pack)
        return
    to = gating.next_state(pack, done=states[_State.DONE])
    reason = "" if to == Pack.State.DELIVERED else gating.main_reason(pack)
    if advance(pack, to, reason=reason):
        gating.record_quality_counts(pack)


def _record_run(pack: Pack, tally: Tally) -> None:
    """Record what this worker did for the pack as an event, for statistics and estimates."""
    if tally.counts:
        codes = {"kind": pack.kind, "engine": pack.engine, "worker": leases.node_name}
        numbers = {**tally.counts, "seconds": round(tally.seconds, 2)}
        record("pack.rendered", shoot_id=pack.shoot_id, pack_id=pack.pk, codes=codes, numbers=numbers)
