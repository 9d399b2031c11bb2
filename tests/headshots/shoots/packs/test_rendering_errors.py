"""What an exception in the middle of a pack means for it: one row of a table each, with the fake engine."""

import errno
from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest
from django.db import DatabaseError, OperationalError

from headshots import engine
from headshots.engine import rendering as engine_rendering
from headshots.shoots.models import Event, Headshot, Pack, Shoot
from headshots.shoots.packs import prepared_subjects, rendering
from headshots.vault.errors import BlobCorrupt, BlobMissing, KeyGone, VaultUnavailable
from pipeline.engines.fake import FakeEngine
from pipeline.errors import EngineUnavailable, LicenseError
from pipeline.types import Job, Picture, Progress, Size
from tests.helpers.factories import make_preview

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fake_engine")]

HARMLESS = [
    (engine.Canceled(), "stopped, because the pack was canceled or paused"),
    (prepared_subjects.PreparationInProgress(), "another worker is preparing its subject"),
    (VaultUnavailable("503"), "waiting for the vault: 503"),
]
FOR_THE_OPERATOR = [
    (OSError(errno.ENOSPC, "disk full"), Pack.Reason.STORAGE_FAILED),
    (BlobMissing(uuid4()), Pack.Reason.STORAGE_FAILED),
    (BlobCorrupt(uuid4(), "the tag"), Pack.Reason.STORAGE_FAILED),
    (engine.WeightsError("cut short"), Pack.Reason.ENGINE_BROKEN),
    (LicenseError("not for money"), Pack.Reason.ENGINE_BROKEN),
    (engine.SigningFailed("no key"), Pack.Reason.ENGINE_BROKEN),
]
UNFORESEEN = [
    (DatabaseError("locked"), Pack.Reason.STORAGE_FAILED),
    (OperationalError("away"), Pack.Reason.STORAGE_FAILED),
    (engine.FaceNotFound("not seen"), engine.Reason.NO_FACE),
    (engine.PhotoRefused(engine.Reason.TOO_DARK), engine.Reason.TOO_DARK),
    (EngineUnavailable("no torch"), Pack.Reason.ENGINE_BROKEN),
    (engine.DeviceLost("off the bus"), Pack.Reason.ENGINE_BROKEN),
    (RuntimeError("a mistake"), Pack.Reason.ENGINE_FAILED),
]


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeEngine) -> None:
    monkeypatch.setattr(engine_rendering, "create_engine", lambda *_: fake)
    engine_rendering._engine.cache_clear()


class _Failing(FakeEngine):
    """Raises this error when it is asked for pictures."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        raise self._error
        yield


@pytest.mark.parametrize(("error", "line"), HARMLESS, ids=lambda value: type(value).__name__)
def test_a_run_that_ends_without_a_fault_leaves_the_pack_as_it_is(monkeypatch, caplog, error, line) -> None:
    caplog.set_level("INFO")
    pack = make_preview()
    use(monkeypatch, _Failing(error))

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert (pack.state, pack.consecutive_failures, pack.shoot.state) == (Pack.State.RENDERING, 0, Shoot.State.OPEN)
    assert set(pack.headshots.values_list("state", "lease_token")) == {(Headshot.State.PENDING, None)}
    assert f"pack {pack.pk}: {line}" in caplog.text


def test_a_run_that_finds_the_key_of_the_photos_gone_closes_the_shoot(monkeypatch, caplog) -> None:
    caplog.set_level("INFO")
    pack = make_preview()
    use(monkeypatch, _Failing(KeyGone(pack.shoot_id)))

    rendering.render_pack(pack=pack)

    pack = Pack.objects.select_related("shoot").get(pk=pack.pk)
    assert (pack.state, pack.reason) == (Pack.State.CANCELED, Pack.Reason.PHOTOS_LOST)
    assert (pack.consecutive_failures, pack.shoot.state) == (0, Shoot.State.PURGING)
    assert f"pack {pack.pk}: the key of its photos no longer exists" in caplog.text


@pytest.mark.parametrize(("error", "reason"), FOR_THE_OPERATOR, ids=lambda value: type(value).__name__)
def test_a_fault_for_the_operator_is_logged_and_the_pack_is_tried_again(monkeypatch, caplog, error, reason) -> None:
    pack = make_preview()
    use(monkeypatch, _Failing(error))

    rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert (pack.state, pack.consecutive_failures, pack.awaiting_retry) == (Pack.State.QUEUED, 1, True)
    assert Event.objects.get(name="pack.run_failed").codes["reason"] == reason
    assert f"pack {pack.pk}: {type(error).__name__}: {error}" in caplog.text


@pytest.mark.parametrize(("error", "reason"), UNFORESEEN, ids=lambda value: type(value).__name__)
def test_any_other_error_is_counted_as_well_and_goes_on_to_the_error_reports(monkeypatch, error, reason) -> None:
    pack = make_preview()
    use(monkeypatch, _Failing(error))

    with pytest.raises(type(error)):
        rendering.render_pack(pack=pack)

    pack.refresh_from_db()
    assert (pack.state, pack.consecutive_failures, pack.awaiting_retry) == (Pack.State.QUEUED, 1, True)
    assert Event.objects.get(name="pack.run_failed").codes["reason"] == reason


def test_no_row_of_the_table_hides_a_later_one() -> None:
    kinds = [kind for kind, _ in rendering.RUN_OUTCOMES]

    hidden = [late for at, late in enumerate(kinds) for early in kinds[:at] if issubclass(late, early)]

    assert hidden == []
    assert kinds[-1] is Exception


def test_every_row_of_the_table_is_tried_here() -> None:
    tried = [error for error, _ in (*HARMLESS, *FOR_THE_OPERATOR, *UNFORESEEN)] + [KeyGone(uuid4())]

    rows = {next(kind for kind, _ in rendering.RUN_OUTCOMES if isinstance(error, kind)) for error in tried}

    assert rows == {kind for kind, _ in rendering.RUN_OUTCOMES}
