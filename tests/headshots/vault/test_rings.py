"""Key rings, in a folder and on a real server: keys that die on time, and that stay dead."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import time_machine
from cryptography.exceptions import InvalidTag
from django.conf import LazySettings
from django.core.checks import CheckMessage, run_checks

from headshots.vault import key_folder, key_server, rings
from headshots.vault.errors import KeyGone, UnsafeRing
from headshots.vault.key_folder import KeyFolder
from headshots.vault.key_server import KeyServer
from headshots.vault.models import Ring
from headshots.vault.rings import MAX_PHOTO_TTL, KeyRing, data_id, open_ring, ring_folder

# Ahead of any clock that a server of the tests has: it is our clock that these tests move.
NOW = datetime(2100, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still until a test moves it."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture(params=["folder", "server"])
def make_ring(request: pytest.FixtureRequest, tmp_path: Path, db: None) -> Callable[..., KeyRing]:
    """Makes rings in one kind of place: `make_ring("source", max_lifetime)`."""

    def in_folder(name: str, max_lifetime: timedelta | None = None) -> KeyRing:
        return KeyRing(KeyFolder(tmp_path / name), max_lifetime)

    def on_server(name: str, max_lifetime: timedelta | None = None) -> KeyRing:
        return KeyRing(KeyServer(server_url(), name, volatile=name == "source"), max_lifetime)

    return in_folder if request.param == "folder" else on_server


def server_url() -> str:
    return os.environ["HEADSHOTS_REDIS_URL"]


@pytest.fixture
def source(make_ring: Callable[..., KeyRing]) -> KeyRing:
    return make_ring("source", MAX_PHOTO_TTL)


@pytest.fixture
def result(make_ring: Callable[..., KeyRing]) -> KeyRing:
    return make_ring("result")


@pytest.fixture
def folder(tmp_path: Path) -> KeyRing:
    """A source ring in a folder: these tests are about its files."""
    return KeyRing(KeyFolder(tmp_path / "source"), MAX_PHOTO_TTL)


@pytest.fixture
def result_folder(tmp_path: Path) -> KeyRing:
    return KeyRing(KeyFolder(tmp_path / "result"))


@pytest.fixture
def folders(settings: LazySettings, tmp_path: Path) -> Path:
    """Settings whose data folder and rings lie in folders of this test."""
    settings.HEADSHOTS_DATA_DIR = tmp_path / "data"
    settings.HEADSHOTS_PHOTO_KEYS_DIR = tmp_path / "source"
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = tmp_path / "result"
    return tmp_path


def opens(ring: KeyRing, key_id: UUID, sealed: bytes) -> bool:
    return ring.cipher(key_id).decrypt(bytes(12), sealed, None) == b"secret"


def sealed_with(ring: KeyRing, key_id: UUID) -> bytes:
    return ring.cipher(key_id).encrypt(bytes(12), b"secret", None)


# Life ---------------------------------------------------------------------------------------------------------------


def test_any_process_opens_what_another_sealed(make_ring, source):
    key_id = uuid4()
    source.create(key_id, datetime.now(UTC) + HOUR)
    sealed = sealed_with(source, key_id)

    assert opens(make_ring("source", MAX_PHOTO_TTL), key_id, sealed)


def test_a_key_that_never_was_is_gone(result):
    with pytest.raises(KeyGone):
        result.cipher(uuid4())


def test_making_a_key_twice_leaves_the_first(source):
    key_id = uuid4()
    assert source.create(key_id, datetime.now(UTC) + HOUR)
    sealed = sealed_with(source, key_id)

    assert not source.create(key_id, datetime.now(UTC) + HOUR)
    assert opens(source, key_id, sealed)


def test_every_key_is_another(result):
    first, second = uuid4(), uuid4()
    result.create(first)
    result.create(second)

    assert sealed_with(result, first) != sealed_with(result, second)


def test_a_result_key_outlives_a_year(clock, result):
    key_id = uuid4()
    result.create(key_id)
    clock.shift(timedelta(days=366))

    assert result.has(key_id)


# Death --------------------------------------------------------------------------------------------------------------


def test_a_destroyed_key_is_gone_and_destroying_it_again_is_no_error(result):
    key_id = uuid4()
    result.create(key_id)

    result.destroy([key_id])
    result.destroy([key_id])

    assert not result.has(key_id)
    assert result.key_ids() == []


def test_destroying_one_key_leaves_the_others(result):
    doomed, other = uuid4(), uuid4()
    result.create(doomed)
    result.create(other)
    result.destroy([doomed])

    assert result.has(other)


def test_many_keys_can_be_destroyed_at_once(result, monkeypatch):
    monkeypatch.setattr(key_server, "_BATCH", 100)
    key_ids = [uuid4() for _ in range(250)]
    for key_id in key_ids:
        result.create(key_id)
    result.destroy(key_ids[1:])

    assert result.key_ids() == key_ids[:1]


def test_a_hard_link_to_a_destroyed_key_is_blank(tmp_path, result_folder):
    key_id = uuid4()
    result_folder.create(key_id)
    os.link(tmp_path / "result" / f"{key_id}.key", tmp_path / "link")
    result_folder.destroy([key_id])

    assert not any((tmp_path / "link").read_bytes())


@pytest.mark.parametrize("access", ["cipher", "has", "sweep_expired"])
def test_an_expired_key_is_refused_and_erased_by_any_access(clock, source, access):
    key_id = uuid4()
    source.create(key_id, NOW + HOUR)
    clock.move_to(NOW + HOUR)

    if access == "cipher":
        with pytest.raises(KeyGone):
            source.cipher(key_id)
    elif access == "has":
        assert not source.has(key_id)
    else:
        assert source.sweep_expired() == [key_id]
    assert source.key_ids() == []


def test_a_key_lives_to_its_last_millisecond(clock, source):
    key_id = uuid4()
    source.create(key_id, NOW + HOUR)
    clock.move_to(NOW + HOUR - timedelta(milliseconds=1))

    assert source.has(key_id)


def test_the_ring_knows_when_its_next_key_expires(clock, source):
    assert source.next_expiry() is None
    source.create(uuid4(), NOW + 2 * HOUR)
    source.create(uuid4(), NOW + HOUR)

    assert source.next_expiry() == (NOW + HOUR).timestamp()


def test_a_ring_that_lost_its_keys_bears_another_mark(make_ring, source, tmp_path, valkey):
    epoch = source.epoch()
    assert make_ring("source", MAX_PHOTO_TTL).epoch() == epoch

    shutil.rmtree(tmp_path / "source", ignore_errors=True)  # what a reboot does
    valkey.flushall()

    assert make_ring("source", MAX_PHOTO_TTL).epoch() != epoch


def test_a_new_key_under_the_id_of_a_dead_one_opens_nothing_of_before(clock, source):
    key_id = uuid4()
    source.create(key_id, NOW + HOUR)
    sealed = sealed_with(source, key_id)
    clock.shift(2 * HOUR)
    source.create(key_id, NOW + 3 * HOUR)

    with pytest.raises(InvalidTag):
        opens(source, key_id, sealed)


@pytest.mark.parametrize("expires_at", [None, NOW + timedelta(hours=24, seconds=1)], ids=["never", "too late"])
def test_a_source_key_must_expire_within_a_day(clock, source, expires_at):
    with pytest.raises(ValueError, match="must expire"):
        source.create(uuid4(), expires_at)


def test_a_clock_that_is_set_back_kills_source_keys_rather_than_letting_them_live_longer(clock, source):
    key_id = uuid4()
    source.create(key_id, NOW + timedelta(hours=24))
    clock.move_to(NOW - HOUR)

    assert not source.has(key_id)


def test_a_small_correction_of_the_clock_does_no_harm(clock, source):
    key_id = uuid4()
    source.create(key_id, NOW + timedelta(hours=24))
    clock.move_to(NOW - timedelta(minutes=1))

    assert source.has(key_id)


@pytest.mark.parametrize("content", [b"", bytes(46), b"HSKEY\x01", b"x" * 46], ids=["empty", "blank", "cut", "other"])
def test_a_half_erased_key_file_counts_as_gone_and_is_swept(folder, content):
    key_id = uuid4()
    (folder.key_store.folder / f"{key_id}.key").write_bytes(content)

    assert not folder.has(key_id)
    assert folder.sweep_expired() == [key_id]
    assert folder.key_ids() == []


def test_a_crash_while_making_a_key_leaves_no_copy_that_can_be_read_after_its_death(folder):
    # Killed between giving the finished file its name and removing the unfinished one: two names of one key.
    key_id = uuid4()
    folder.create(key_id, datetime.now(UTC) + HOUR)
    left_over = folder.key_store.folder / f"{key_id}.key.0123456789abcdef.tmp"
    os.link(folder.key_store.folder / f"{key_id}.key", left_over)

    folder.destroy([key_id])

    assert not any(left_over.read_bytes())


def test_the_sweep_takes_old_left_overs_without_hurting_the_living_key(folder, monkeypatch):
    key_id = uuid4()
    folder.create(key_id, datetime.now(UTC) + HOUR)
    left_over = folder.key_store.folder / f"{key_id}.key.0123456789abcdef.tmp"
    os.link(folder.key_store.folder / f"{key_id}.key", left_over)
    monkeypatch.setattr(key_folder, "UNFINISHED_SECONDS", -1)

    assert folder.sweep_expired() == []
    assert not left_over.exists()
    assert folder.has(key_id)


def test_files_of_others_in_the_folder_stop_no_sweep(clock, folder):
    (folder.key_store.folder / "notes.key").write_text("not ours")
    key_id = uuid4()
    folder.create(key_id, NOW + HOUR)
    clock.shift(2 * HOUR)

    assert folder.sweep_expired() == [key_id]


# Privacy ------------------------------------------------------------------------------------------------------------


def test_folders_and_keys_are_for_this_user_only(tmp_path):
    place = tmp_path / "new" / "base" / "ring"
    key_id = uuid4()
    KeyRing(KeyFolder(place)).create(key_id)

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new", place.parent, place)]
    assert modes == [0o700] * 3
    assert stat.S_IMODE((place / f"{key_id}.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_a_ring_that_others_can_reach_is_refused(tmp_path, mode):
    (tmp_path / "ring").mkdir()
    (tmp_path / "ring").chmod(mode)

    with pytest.raises(UnsafeRing):
        KeyFolder(tmp_path / "ring")


def test_a_ring_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "ring").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsafeRing):
        KeyFolder(tmp_path / "ring")


def test_a_ring_that_others_could_replace_is_refused(tmp_path):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)

    with pytest.raises(UnsafeRing):
        KeyFolder(open_to_all / "ring")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
@pytest.mark.parametrize("given_away", ["base", "base/ring"])
def test_a_ring_that_somebody_else_made_first_is_refused(tmp_path, given_away):
    (tmp_path / "base/ring").mkdir(parents=True, mode=0o700)
    os.chown(tmp_path / given_away, 12345, 12345)

    with pytest.raises(UnsafeRing):
        KeyFolder(tmp_path / "base/ring")


def test_no_key_shows_in_what_is_printed_or_raised(clock, source):
    key_id = uuid4()
    source.create(key_id, NOW + HOUR)
    key = source.key_store.read(key_id)[-32:]
    shown = [repr(source), repr(source.cipher(key_id)), repr(vars(source)), repr(vars(source.key_store))]
    clock.shift(2 * HOUR)
    with pytest.raises(KeyGone) as gone:
        source.cipher(key_id)

    shown += [str(gone.value), repr(gone.value), repr(gone.value.__context__)]
    assert not any(key.hex() in text or repr(key)[2:-1] in text for text in shown)


# Many at once -------------------------------------------------------------------------------------------------------


def test_of_many_threads_that_make_one_key_one_succeeds(result):
    key_id = uuid4()
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: result.create(key_id), range(64)))

    assert made.count(True) == 1
    assert result.key_ids() == [key_id]


def test_many_threads_can_destroy_and_sweep_one_key_while_others_read_it(source):
    key_ids = [uuid4() for _ in range(20)]
    for key_id in key_ids:
        source.create(key_id, datetime.now(UTC) + HOUR)
    actions = [lambda key_id: source.destroy([key_id]), source.has, lambda _: source.sweep_expired()] * 3
    with ThreadPoolExecutor(9) as pool:
        # The results are read so that an exception in any thread fails the test.
        list(pool.map(lambda pair: pair[0](pair[1]), [(act, key_id) for key_id in key_ids for act in actions]))

    assert source.key_ids() == []


# Six processes that have loaded nothing of the data folder. They are forked, because loading the product six times
# would take seconds, and would keep them from starting at the same moment.
START_TOGETHER = """
import multiprocessing, os, sys
from pathlib import Path
from uuid import UUID
import django
django.setup()
from headshots.vault.key_folder import KeyFolder
from headshots.vault.rings import KeyRing, data_id
data, ring, key_id = Path(sys.argv[1]), Path(sys.argv[2]), UUID(sys.argv[3])
fork = multiprocessing.get_context("fork")
all_are_here = fork.Barrier(6)

def start():
    all_are_here.wait(60)
    name = data_id(data)
    keys = KeyRing(KeyFolder(ring / name))
    keys.create(key_id)
    answer = f"{name} {keys.cipher(key_id).encrypt(bytes(12), b'secret', None).hex()}"
    os.write(1, f"{answer}\\n".encode())  # At once, so that no other process writes in between.

processes = [fork.Process(target=start) for _ in range(6)]
for process in processes:
    process.start()
for process in processes:
    process.join()
"""


def test_processes_that_start_at_once_agree_on_the_data_folder_and_on_a_key(tmp_path):
    command = [sys.executable, "-c", START_TOGETHER, str(tmp_path / "data"), str(tmp_path / "rings"), str(uuid4())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    answers = done.stdout.splitlines()

    assert len(answers) == 6, done.stderr
    assert len(set(answers)) == 1
    assert data_id(tmp_path / "data") in answers[0]


# Where rings lie ----------------------------------------------------------------------------------------------------


def test_each_data_folder_has_rings_of_its_own(settings, folders):
    key_id = uuid4()
    open_ring("result").create(key_id)
    settings.HEADSHOTS_DATA_DIR = folders / "other data"

    assert not open_ring("result").has(key_id)


def test_the_rings_never_share_a_key(folders):
    key_id = uuid4()
    open_ring("result").create(key_id)

    assert not open_ring("source").has(key_id)


def test_an_id_file_cannot_send_the_ring_elsewhere(folders):
    (folders / "data").mkdir()
    (folders / "data/id").write_text("../../somewhere")

    with pytest.raises(ValueError, match="UUID"):
        open_ring("result")


def test_a_source_ring_on_a_disk_is_told_in_the_log(folders, caplog, monkeypatch):
    rings._warn_of_disk.cache_clear()
    # What kind of disk the tests run on is not theirs to choose.
    monkeypatch.setattr(rings, "is_in_memory", lambda folder: False)
    open_ring("source")
    open_ring("source")

    assert [record.levelname for record in caplog.records] == ["WARNING"]


def vault_findings() -> list[str]:
    return sorted({str(message.id) for message in found() if str(message.id).startswith("vault.")})


def found() -> list[CheckMessage]:
    return run_checks(tags=["security"])


def test_sound_settings_pass_the_checks(settings, folders):
    settings.HEADSHOTS_PHOTO_TTL_SECONDS = 86_400

    assert set(vault_findings()) <= {"vault.W001"}


@pytest.mark.parametrize("seconds", [86_401, 0, -5])
def test_a_time_to_live_over_a_day_or_under_a_second_is_refused(settings, folders, seconds):
    settings.HEADSHOTS_PHOTO_TTL_SECONDS = seconds

    assert "vault.E001" in vault_findings()


@pytest.mark.parametrize("setting", ["HEADSHOTS_PHOTO_KEYS_DIR", "HEADSHOTS_HEADSHOT_KEYS_DIR"])
def test_a_ring_below_the_data_folder_is_refused_also_through_a_link(settings, folders, setting):
    (folders / "data/keys").mkdir(parents=True)
    (folders / "link").symlink_to(folders / "data/keys")
    setattr(settings, setting, folders / "link")

    assert "vault.E002" in vault_findings()
    assert any(setting in str(message.hint) for message in found())


def test_one_folder_for_both_rings_is_refused(settings, folders):
    settings.HEADSHOTS_HEADSHOT_KEYS_DIR = settings.HEADSHOTS_PHOTO_KEYS_DIR

    assert "vault.E003" in vault_findings()


def test_a_ring_that_was_opened_to_others_is_refused_by_the_checks(folders):
    open_ring("result")
    ring_folder(Ring.RESULT).chmod(0o755)

    assert "vault.E004" in vault_findings()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")  # noqa: S108
def test_the_check_knows_a_disk_from_memory(settings, folders):
    # /proc is surely not a tmpfs, /dev/shm surely is.
    settings.HEADSHOTS_PHOTO_KEYS_DIR = Path("/proc/none")
    assert "vault.W001" in vault_findings()

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        settings.HEADSHOTS_PHOTO_KEYS_DIR = Path(folder)
        assert "vault.W001" not in vault_findings()


def test_checking_makes_no_folders(folders):
    found()

    assert list(folders.iterdir()) == []
