"""What was deleted is deleted again after a restore: the journal of deletions lies apart from all that is restored."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from kombu.exceptions import OperationalError

from headshots.accounts.models import User
from headshots.celery import app
from headshots.data_rights.replay import replay
from headshots.data_rights.services import begin_account_deletion, finish_account_deletion
from headshots.retention import deletions
from headshots.retention.purging import delete_pack, purge_shoot
from headshots.shoots.lifecycle import begin_purge
from headshots.shoots.models import Pack, Shoot
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone
from headshots.vault.rings import ring_base
from tests.headshots.retention.private import only_sqlite
from tests.helpers.factories import make_delivered, make_user


@pytest.fixture(autouse=True)
def own_journal(settings: LazySettings, tmp_path: Path) -> Path:
    settings.HEADSHOTS_DELETIONS_DIR = tmp_path / "deletions"
    return settings.HEADSHOTS_DELETIONS_DIR


def leave(owner: User) -> int:
    number = owner.pk
    begin_account_deletion(owner=owner, certificate_id=uuid4())
    assert finish_account_deletion(owner=owner)
    return number


def recorded_deletions() -> list[tuple[str, str]]:
    return [(line.kind.value, line.id) for line in deletions.deletions()]


def replay_command(*arguments: str) -> str:
    out = StringIO()
    call_command("replay_deletions", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def backup(settings: LazySettings, tmp_path: Path) -> Callable[[], Callable[[], None]]:
    """A function that takes a backup of database, files and result ring, and returns one that restores it."""
    folders = [settings.HEADSHOTS_DATA_DIR / "blobs", ring_base("result")]

    def take() -> Callable[[], None]:
        copy = sqlite3.connect(":memory:")
        connection.ensure_connection()
        connection.connection.backup(copy)
        for number, folder in enumerate(folders):
            shutil.copytree(folder, tmp_path / f"backup{number}")

        def restore() -> None:
            copy.backup(connection.connection)
            for number, folder in enumerate(folders):
                shutil.rmtree(folder)
                shutil.copytree(tmp_path / f"backup{number}", folder)

        return restore

    return take


@only_sqlite
@pytest.mark.django_db(transaction=True)
def test_after_a_restore_of_everything_the_command_deletes_it_again(
    backup: Callable[[], Callable[[], None]],
) -> None:
    gone, purged, forgotten, stays = (make_delivered(make_user(f"{name}@example.org")) for name in "abcd")
    restore = backup()
    number = leave(gone.shoot.owner)
    begin_purge(purged.shoot)
    purge_shoot(shoot=purged.shoot)
    delete_pack(pack=forgotten)
    restore()
    # Without the command the deletions are undone: the headshots can be read, with the keys of the backup.
    blobs = {pack.pk: pack.headshots.select_related("blob").first().blob for pack in (gone, forgotten, stays)}
    assert User.objects.filter(email="a@example.org").exists()
    assert all(vault.read_blob(blob) for blob in blobs.values())

    said = replay_command()

    assert "Deleted again: accounts: 1, shoots (photos): 1, packs (headshots): 1." in said
    assert not User.objects.filter(pk=number).exists()
    assert Shoot.objects.get(pk=purged.shoot_id).state == Shoot.State.PURGED
    assert Pack.objects.get(pk=forgotten.pk).state == Pack.State.DELETED
    for pack in (gone, forgotten):
        with pytest.raises(KeyGone):
            vault.read_blob(blobs[pack.pk])
    # Other people's are not touched, and the second time there is nothing left to do.
    assert vault.read_blob(blobs[stays.pk])
    assert "Deleted again: accounts: 0, shoots (photos): 0, packs (headshots): 0." in replay_command()


@only_sqlite
@pytest.mark.django_db(transaction=True)
def test_the_command_needs_no_broker(
    backup: Callable[[], Callable[[], None]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone = make_delivered(make_user())
    restore = backup()
    leave(gone.shoot.owner)
    restore()

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("no broker")

    # With `run.py`, the broker is not running while a backup is restored.
    monkeypatch.setattr(app, "send_task", refuse)

    assert "Deleted again: accounts: 1" in replay_command()
    assert "no broker" in caplog.text
    assert not User.objects.exists()


@pytest.mark.django_db
def test_a_line_holds_an_id_and_a_time_for_this_user_alone(own_journal: Path) -> None:
    pack = make_delivered()
    owner, shoot_id = pack.shoot.owner, pack.shoot_id

    number = leave(owner)

    assert sorted(recorded_deletions()) == sorted(
        [("account", str(number)), ("photos", str(shoot_id)), ("headshots", str(pack.pk))]
    )
    (file,) = own_journal.rglob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines() if line]
    assert all(line.keys() == {"at", "what", "id"} for line in lines)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"what": "photos", "id": "1"}', '{"at": "x", "what": "photos", "id": "1"}']
)
def test_a_damaged_line_is_skipped_and_told(own_journal: Path, caplog: pytest.LogCaptureFixture, line: str) -> None:
    deletions.record_deletions(deletions.DeletionKind.PHOTOS, ["a"])
    (file,) = own_journal.rglob("*.jsonl")
    file.write_text(f"{line}\n{file.read_text()}")

    assert [each.id for each in deletions.deletions()] == ["a"]
    assert "has an invalid line" in caplog.text


@pytest.mark.django_db
def test_what_is_tried_again_is_noted_once() -> None:
    pack = make_delivered()
    begin_purge(pack.shoot, everything=True)

    for _ in range(3):
        purge_shoot(shoot=pack.shoot)

    assert sorted(what for what, _ in recorded_deletions()) == ["headshots", "photos"]


@pytest.mark.django_db
def test_a_number_that_was_given_again_is_another_account() -> None:
    number = leave(make_user())
    newcomer = User.objects.create(pk=number, email="newcomer@example.org")

    assert replay(deletions.deletions()).accounts == []

    assert User.objects.filter(pk=newcomer.pk).exists()


@pytest.mark.django_db
def test_an_account_that_could_not_be_closed_is_not_in_the_journal() -> None:
    left, stays = make_user("left@example.org"), make_user("stays@example.org")
    certificate_id, number = uuid4(), str(left.pk)
    begin_account_deletion(owner=left, certificate_id=certificate_id)

    with pytest.raises(IntegrityError), transaction.atomic():
        begin_account_deletion(owner=stays, certificate_id=certificate_id)

    assert recorded_deletions() == [("account", number)]


@pytest.mark.django_db
def test_a_journal_that_cannot_be_written_holds_no_deletion_up(
    own_journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_journal.write_text("a file where the folder should be")

    number = leave(make_user())

    assert not User.objects.filter(pk=number).exists()
    assert "can't write the deletion journal" in caplog.text


@pytest.mark.django_db
def test_a_line_that_a_power_cut_left_unfinished_costs_no_other(own_journal: Path) -> None:
    first = leave(make_user())
    (file,) = own_journal.rglob("*.jsonl")
    with file.open("a") as torn:
        torn.write('\n{"at": "2026-11')

    second = leave(make_user())

    assert recorded_deletions() == [("account", str(first)), ("account", str(second))]


@pytest.mark.django_db
def test_months_stay_as_long_as_a_backup_may_reach_back_to_them(settings: LazySettings) -> None:
    leave(make_user())
    folder = deletions.folder()
    for name in ("2020-01", "2020-02"):
        (folder / f"{name}.jsonl").write_text("")
    settings.HEADSHOTS_BACKUP_DAYS = (datetime.now(UTC) - datetime(2020, 2, 15, tzinfo=UTC)).days

    dropped = deletions.delete_old_files()

    assert dropped == 1
    assert sorted(path.stem for path in folder.glob("*.jsonl"))[0] == "2020-02"
    settings.HEADSHOTS_BACKUP_DAYS = 0
    assert deletions.delete_old_files() == 1
    assert len(recorded_deletions()) == 1


@pytest.mark.django_db
def test_the_command_counts_without_deleting_and_from_a_time_on() -> None:
    leave(make_user())

    assert "accounts: 1," in replay_command("--dry-run")
    assert "accounts: 0," in replay_command("--dry-run", "--since", "2100-01-01")
    with pytest.raises(CommandError, match="write the time as"):
        replay_command("--since", "yesterday")


def test_a_journal_below_the_data_folder_is_refused(settings: LazySettings) -> None:
    settings.HEADSHOTS_DELETIONS_DIR = settings.HEADSHOTS_DATA_DIR / "deletions"

    assert "retention.E007" in {finding.id for finding in run_checks(tags=["security"])}
