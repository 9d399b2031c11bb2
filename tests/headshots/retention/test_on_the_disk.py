"""Nothing private is left in any file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headshots.retention.wal import checkpoint_wal
from tests.headshots.retention.private import only_sqlite
from tests.helpers.migrated import copy_migrated_database

ROOT = Path(__file__).resolve().parents[3]


pytestmark = pytest.mark.django_db


LIFE_AND_DEATH = """
import io, os, sys, django
django.setup()
from datetime import timedelta
from pathlib import Path
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from PIL import Image
from headshots.retention.due import delivered_packs, due_ownerless_shoots, due_shoots, expired_packs, purge_due
from headshots.retention.due import shoots_of_other_epochs
from headshots.shoots.models import Photo, Shoot
from headshots.vault import services as vault

connection.cursor().execute("PRAGMA wal_autocheckpoint = 0")
out = io.BytesIO()
Image.effect_noise((300, 300), 80).convert("RGB").save(out, "JPEG")
secret = 0.7351904862715
shoot = Shoot.objects.create(delete_after=timezone.now())
vault.create_key(ring="source", key_id=shoot.pk, expires_at=timezone.now() + timedelta(hours=1))
for position in range(5):
    blob = vault.write_blob(ring="source", key_id=shoot.pk, kind="photo", data=out.getvalue())
    Photo.objects.create(shoot=shoot, position=position, blob=blob, reasons=[str(secret)] * 40)

def found():
    files = [path for path in Path(settings.HEADSHOTS_DATA_DIR).rglob("*") if path.is_file()]
    contents = [path.read_bytes() for path in files]
    picture = out.getvalue()
    pieces = [picture[start : start + 16] for start in range(0, len(picture) - 16, 1000)]
    rows = sum(str(secret).encode() in content for content in contents)
    pictures = sum(any(piece in content for piece in pieces) for content in contents)
    for content in contents:
        try:
            Image.open(io.BytesIO(content))
        except Image.UnidentifiedImageError:
            continue
        pictures += 1
    return f"rows {rows} pictures {pictures} blobs {sum('blobs' in str(path) for path in files)}"

print("before:", found())
print("purged:", purge_due().shoots)
print("after:", found())
"""


def test_nothing_private_is_left_in_any_file_below_the_data_folder(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")} | {
        "DJANGO_SETTINGS_MODULE": "headshots.settings",
        "HEADSHOTS_DEBUG": "1",
        "HEADSHOTS_DATA_DIR": str(tmp_path / "disk"),
        "HEADSHOTS_PHOTO_KEYS_DIR": str(tmp_path / "source"),
        "HEADSHOTS_HEADSHOT_KEYS_DIR": str(tmp_path / "result"),
    }
    copy_migrated_database(tmp_path / "disk")
    result = subprocess.run(
        [sys.executable, "-c", LIFE_AND_DEATH],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.stdout.splitlines() == [
        "before: rows 1 pictures 0 blobs 5",
        "purged: 1",
        "after: rows 0 pictures 0 blobs 0",
    ], result.stderr


@only_sqlite
def test_within_a_transaction_the_journal_is_left_alone():
    # The test itself runs in one: the log cannot be emptied before it ends.
    assert not checkpoint_wal()
