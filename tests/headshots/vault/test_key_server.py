"""A key ring on a real server: what the server must be, what it must not keep, and what happens when it is away."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from django.conf import LazySettings
from django.core.checks import run_checks

from headshots.dashboard.monitoring import doctor
from headshots.vault import key_server
from headshots.vault import services as vault
from headshots.vault.errors import KeyGone, UnsafeRing, VaultUnavailable
from headshots.vault.key_server import KeyServer, ring_client, without_password
from headshots.vault.models import Installation, Ring
from headshots.vault.rings import MAX_PHOTO_TTL, KeyRing, open_ring

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
VOLATILE = ("--save", "", "--appendonly", "no")


def ring_on(url: str) -> KeyRing:
    return KeyRing(KeyServer(url, "source", volatile=True), MAX_PHOTO_TTL)


def result_ring_on(url: str) -> KeyRing:
    return KeyRing(KeyServer(url, "result", volatile=False))


def in_an_hour() -> datetime:
    return datetime.now(UTC) + HOUR


@pytest.fixture
def volatile(start_valkey: Callable[..., str]) -> str:
    return start_valkey(*VOLATILE)


@pytest.fixture
def silent_server(volatile: str) -> str:
    """The same server as a hosted one shows itself: CONFIG is forbidden."""
    ring_client(volatile).execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-config")
    return volatile.replace("unix://", "unix://app:secret@")


# What the server must be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (("save", "3600 1"), "snapshots"),
        (("appendonly", "yes"), "journal"),
        (("maxmemory-policy", "allkeys-lru"), "evict keys"),
        (("maxmemory-policy", "volatile-ttl"), "evict keys"),
    ],
)
def test_a_server_that_keeps_or_drops_keys_of_photos_is_refused(volatile, settings, option, reason):
    ring_client(volatile).config_set(*option)
    settings.HEADSHOTS_PHOTO_KEYS_URL = volatile
    key_server._cached_unsafe_reason.cache_clear()

    with pytest.raises(UnsafeRing, match=reason):
        vault.create_key(ring="source", key_id=uuid4(), expires_at=in_an_hour())
    assert findings() == {"vault.E006"}
    assert reason in doctor.describe_ring(Ring.SOURCE)


def test_a_server_that_turns_unsafe_makes_no_new_keys_and_still_gives_up_old_ones(volatile, monkeypatch):
    ring, key_id = ring_on(volatile), uuid4()
    ring.create(key_id, in_an_hour())
    ring_client(volatile).config_set("appendonly", "yes")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + key_server._RECHECK_SECONDS)

    with pytest.raises(UnsafeRing):
        ring.create(uuid4(), in_an_hour())
    assert ring.has(key_id)
    ring.destroy([key_id])
    assert ring.key_ids() == []


def test_where_the_server_must_not_be_asked_the_operator_has_to_state_it(silent_server, settings):
    settings.HEADSHOTS_PHOTO_KEYS_URL = silent_server
    with pytest.raises(UnsafeRing, match="HEADSHOTS_PHOTO_KEYS_ARE_VOLATILE=1"):
        vault.create_key(ring="source", key_id=uuid4(), expires_at=in_an_hour())
    assert findings() == {"vault.E006"}

    settings.HEADSHOTS_PHOTO_KEYS_ARE_VOLATILE = True
    key_server._cached_unsafe_reason.cache_clear()
    key_id = uuid4()
    vault.create_key(ring="source", key_id=key_id, expires_at=in_an_hour())

    assert vault.key_exists(ring="source", key_id=key_id)
    assert findings() == set()


def test_no_password_is_shown(silent_server, settings):
    settings.HEADSHOTS_PHOTO_KEYS_URL = silent_server
    with pytest.raises(UnsafeRing) as refused:
        vault.create_key(ring="source", key_id=uuid4(), expires_at=in_an_hour())
    shown = [str(refused.value), doctor.describe_ring(Ring.SOURCE), *(finding.msg for finding in run_checks())]

    assert not any("secret" in text for text in shown)
    assert without_password("rediss://user:pass@ring.example.org:6380/1") == "rediss://ring.example.org:6380/1"


def test_one_server_for_both_rings_is_refused(volatile, settings):
    settings.HEADSHOTS_PHOTO_KEYS_URL = settings.HEADSHOTS_HEADSHOT_KEYS_URL = volatile

    assert "vault.E003" in findings()


def test_an_address_that_is_none_is_refused(settings):
    settings.HEADSHOTS_HEADSHOT_KEYS_URL = "ring.example.org:6379"

    assert findings() == {"vault.E005"}


def test_a_server_for_headshots_that_would_lose_them_is_told(volatile, settings, start_valkey):
    settings.HEADSHOTS_HEADSHOT_KEYS_URL = volatile
    assert findings() == {"vault.W004"}
    assert "a restart loses its keys" in doctor.describe_ring(Ring.RESULT)

    settings.HEADSHOTS_HEADSHOT_KEYS_URL = keeping = start_valkey("--save", "", "--appendonly", "yes")
    assert findings() == set()
    assert doctor.describe_ring(Ring.RESULT).endswith("which persists its keys")

    ring_client(keeping).config_set("maxmemory-policy", "allkeys-lru")
    assert findings() == {"vault.W004"}
    assert "can evict keys" in doctor.describe_ring(Ring.RESULT)


def findings() -> set[str]:
    key_server._cached_unsafe_reason.cache_clear()
    ids = {str(finding.id) for finding in run_checks(tags=["security"])}
    return {name for name in ids if name.startswith("vault.") and name not in {"vault.W001", "vault.W002"}}


# What it keeps --------------------------------------------------------------------------------------------------------


def test_a_key_of_a_photo_dies_by_the_servers_own_clock(volatile):
    ring, key_id = ring_on(volatile), uuid4()
    ring.create(key_id, datetime.now(UTC) + timedelta(milliseconds=200))
    client = ring_client(volatile)
    (name,) = [name for name in client.scan_iter() if str(key_id).encode() in name]
    assert 0 < client.pttl(name) <= 200

    time.sleep(0.25)

    # Asked past our own code: it is the server that let go of it.
    assert client.get(name) is None
    with pytest.raises(KeyGone):
        ring.cipher(key_id)


def test_a_key_of_a_headshot_has_no_expiry(volatile):
    ring, key_id = result_ring_on(volatile), uuid4()
    ring.create(key_id)

    (name,) = [name for name in ring_client(volatile).scan_iter() if str(key_id).encode() in name]
    assert ring_client(volatile).pttl(name) == -1
    assert ring.key_ids() == [key_id]


def test_a_destroyed_key_of_a_headshot_stays_neither_in_the_journal_nor_in_the_snapshot(start_valkey, settings):
    url = start_valkey("--appendonly", "yes", "--save", "3600 1")
    folder = Path(url.removeprefix("unix://")).parent
    settings.HEADSHOTS_HEADSHOT_KEYS_URL = url
    key_id, other = uuid4(), uuid4()
    for each in (key_id, other):
        vault.create_key(ring="result", key_id=each)
    key = open_ring("result").key_store.read(key_id)[-32:]
    ring_client(url).save()
    assert {path.suffix for path in files_with(folder, key)} == {".aof", ".rdb"}

    vault.destroy_key(ring="result", key_id=key_id)
    assert files_with(folder, key)
    vault.delete_key_history(ring="result")
    vault.delete_key_history(ring="result")  # while the first is under way

    give_up = time.monotonic() + 20
    while files_with(folder, key) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert files_with(folder, key) == []
    assert vault.key_exists(ring="result", key_id=other)


def files_with(folder: Path, piece: bytes) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and piece in path.read_bytes():
                found.append(path)
        except FileNotFoundError:
            continue  # exchanged by the server at this moment
    return found


def test_installations_that_share_a_server_do_not_see_each_others_keys(volatile):
    mine, key_id = ring_on(volatile), uuid4()
    mine.create(key_id, in_an_hour())
    Installation.objects.all().delete()
    key_server.installation_id.cache_clear()
    theirs = ring_on(volatile)
    key_server.installation_id.cache_clear()

    assert theirs.key_ids() == []
    assert not theirs.has(key_id)
    assert theirs.epoch() != mine.epoch()


def test_every_installation_has_its_name_from_the_first_day():
    assert Installation.objects.count() == 1


# When it is away ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda ring: ring.create(uuid4(), in_an_hour()),
        lambda ring: ring.cipher(uuid4()),
        lambda ring: ring.has(uuid4()),
        lambda ring: ring.destroy([uuid4()]),
        lambda ring: ring.sweep_expired(),
        lambda ring: ring.epoch(),
    ],
    ids=["create", "cipher", "has", "destroy", "sweep_expired", "mark"],
)
def test_a_server_that_is_away_is_not_taken_for_a_lost_ring(tmp_path, ask):
    with pytest.raises(VaultUnavailable):
        ask(ring_on(f"unix://{tmp_path}/nobody.sock"))


def test_checks_and_doctor_say_that_it_does_not_answer(tmp_path, settings):
    settings.HEADSHOTS_PHOTO_KEYS_URL = f"unix://{tmp_path}/nobody.sock"

    assert findings() == {"vault.W003"}
    assert doctor.describe_ring(Ring.SOURCE).endswith("which is unreachable")


def test_a_full_server_refuses_a_key_and_drops_none(volatile: str, settings: LazySettings):
    ring, key_id = ring_on(volatile), uuid4()
    ring.create(key_id, in_an_hour())
    ring_client(volatile).config_set("maxmemory", "1")

    with pytest.raises(VaultUnavailable):
        ring.create(uuid4(), in_an_hour())
    assert ring.has(key_id)


def test_the_servers_address_is_no_part_of_what_is_raised(tmp_path):
    with pytest.raises(VaultUnavailable) as raised:
        ring_on(f"unix://{tmp_path}/nobody.sock").epoch()

    assert str(tmp_path) not in str(raised.value)
    assert isinstance(raised.value.__cause__, redis.RedisError)
    assert os.fspath(tmp_path) not in repr(raised.value)


def test_a_key_that_expires_while_keys_are_listed_is_not_listed(volatile, monkeypatch):
    ring, forever = ring_on(volatile), result_ring_on(volatile)
    keys = [uuid4() for _ in range(3)]
    ring.create(keys[0], in_an_hour())
    forever.create(keys[2])
    server, endless = KeyServer(volatile, "source", volatile=True), KeyServer(volatile, "result", volatile=False)
    monkeypatch.setattr(server, "_key_ids", lambda: iter(keys[:2]))

    assert [key_id for key_id, _ in server.expiries()] == keys[:1]
    assert list(endless.expiries()) == [(keys[2], 0)]
