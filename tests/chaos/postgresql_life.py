"""A program of the tests: an account and its photo on PostgreSQL, and what its files hold of them at each step.

    python -m tests.chaos.postgresql_life

Runs on the database that the environment names, whose files it has to be able to read."""

import json
import struct
import time
from dataclasses import astuple, fields
from pathlib import Path
from uuid import uuid4

import django

django.setup()

from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client

from headshots.accounts.models import User
from headshots.accounts.sessions import SessionStore
from headshots.data_rights.services import begin_account_deletion, finish_account_deletion
from headshots.retention import wal
from headshots.retention.wal import checkpoint_wal
from headshots.vault import services as vault
from pipeline.faces.serialization import unpack_measurements
from pipeline.types import Measurements
from tests.helpers.factories import make_checked_shoot, make_user

EMAIL = "marked.person.of.postgresql@example.org"
# Few enough for every address to be a boundary of the histogram that ANALYZE stores.
OTHERS = 60
CONTROL_MEASUREMENT = 0.7351904862715


def files(folder: str) -> bytes:
    """Everything below a folder of the server, as it is on its disk after a checkpoint."""
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute("SHOW data_directory")
        (root,) = cursor.fetchone()
    contents = []
    for path in sorted((Path(root) / folder).rglob("*")):
        try:
            contents.append(path.read_bytes() if path.is_file() else b"")
        except FileNotFoundError:
            continue
    return b"\0".join(contents)


def as_numeric(value: float) -> bytes:
    """Four decimal digits after the other in two bytes each, as numbers in JSON are stored: those after the point."""
    digits = f"{value:.20f}".partition(".")[2] if value < 1 else repr(value).partition(".")[2]
    digits = digits[:12].ljust(12, "0")
    return struct.pack("<3h", *(int(digits[start : start + 4]) for start in (0, 4, 8)))


def holds(folder: str, *needles: bytes) -> bool:
    content = files(folder)
    return any(needle in content for needle in needles)


def finds_a_stored_measurement() -> bool:
    """Store a number in JSON as older versions stored measurements: the search has to find it."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE control (measurements jsonb)")
        cursor.execute("INSERT INTO control VALUES (%s)", [json.dumps([{"yaw": CONTROL_MEASUREMENT}])])
        found = holds("base", as_numeric(CONTROL_MEASUREMENT))
        cursor.execute("DROP TABLE control")
    return found


def measured(owner: User) -> dict[str, bool]:
    """Search for what was measured of a face, in the spellings of text, JSON and numbers."""
    photo = make_checked_shoot(owner).photos.get()
    assert photo.faces_blob
    (face,) = unpack_measurements(vault.read_blob(photo.faces_blob))
    values = [value for value in astuple(face) if value != round(value, 2)]
    needles = [f"{value:.12g}"[:9].encode() for value in values]
    needles += [struct.pack(order, value) for value in values for order in ("<d", ">d")]
    needles += [as_numeric(value) for value in map(abs, values)]
    needles += [field.name.encode() for field in fields(Measurements)]
    assert len(values) > 5
    return {
        "row": holds("base", str(photo.pk).encode(), photo.pk.bytes),
        "base": holds("base", *needles),
        "pg_wal": holds("pg_wal", *needles),
    }


def live() -> User:
    """One among others, signed in, whose rows the server has looked at for its statistics."""
    User.objects.bulk_create(User(email=f"{number}@example.org", password=uuid4().hex) for number in range(OTHERS))
    person = make_user(EMAIL)
    EmailAddress.objects.create(user=person, email=EMAIL, primary=True, verified=True)
    session = SessionStore()
    session["typed"] = EMAIL
    session.save()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return person


def leave(person: User) -> str:
    """Delete the account; its certificate's page."""
    certificate = begin_account_deletion(owner=person, certificate_id=uuid4())
    assert certificate
    give_up = time.monotonic() + 60
    while not finish_account_deletion(owner=person):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return Client(SERVER_NAME="localhost").get(certificate.get_absolute_url()).content.decode()


def in_use() -> dict[str, object]:
    """Leave to the next time a table that is being read, and rows that an older transaction still sees."""
    import psycopg

    cache.clear()
    options = connection.get_connection_params()
    with psycopg.connect(**{name: options[name] for name in ("dbname", "user", "host")}) as other:
        other.execute("SELECT count(*) FROM accounts_user")
        is_locked = not wal._rewrite("accounts_user")
        left = wal.rewrite_account_tables()
    return {"while_read": is_locked and "accounts_user" in left, "afterwards": wal.rewrite_account_tables()}


def main() -> None:
    connection.ensure_connection()
    try:
        files("base")
    except PermissionError:
        print(json.dumps({"unreadable": True}))
        return
    call_command("migrate", verbosity=0)
    finds_measurements = finds_a_stored_measurement()
    person = live()
    found: dict[str, object] = {"control": finds_measurements, "measurements": measured(person)}
    needle = EMAIL.encode()
    found["before"] = {folder: holds(folder, needle) for folder in ("base", "pg_wal")}
    found["certificate"] = leave(person)
    found["schedule"] = Client(SERVER_NAME="localhost").get("/retention/").content.decode()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM accounts_user")
    found["deleted"] = {folder: holds(folder, needle) for folder in ("base", "pg_wal")}
    found["left"] = wal.rewrite_account_tables()
    found["rewritten"] = {folder: holds(folder, needle) for folder in ("base", "pg_wal")}
    found["wal_is_empty"] = checkpoint_wal()
    found["in_use"] = in_use()
    found["others"] = User.objects.count()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
