"""What the environment may say, and what is refused."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import LazySettings
from django.conf import settings as product
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import ConnectionHandler
from django.test import override_settings

from headshots.web import checks
from pipeline.files.signing import make_test_identity

COMPLETE = {
    "HEADSHOTS_SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_",
    "HEADSHOTS_ALLOWED_HOSTS": "headshots.example.org",
    "HEADSHOTS_REDIS_URL": "redis://cache.example.org:6379/2",
    "HEADSHOTS_DATABASE_URL": "postgres://name:word@db.example.org:5432/headshots",
    "HEADSHOTS_OPERATOR": "Example Ltd, 1 Some Street, Sometown",
    "HEADSHOTS_ABUSE_EMAIL": "misuse@headshots.example.org",
}


# Django reads these once per process, so that another value would change nothing. No system check reads them.
READ_ONCE = {"DATABASES", "LOGGING"}


def surroundings(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """This process's environment with these settings of the product only, and with folders below this one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADSHOTS_")}
    folders = {
        f"HEADSHOTS_{name}": str(tmp_path / name) for name in ("DATA_DIR", "PHOTO_KEYS_DIR", "HEADSHOT_KEYS_DIR")
    }
    return {**inherited, **folders, **environment}


def read_settings(tmp_path: Path, **environment: str) -> dict[str, Any]:
    """Run headshots/settings.py again with this environment and return the settings."""
    with patch.dict(os.environ, surroundings(tmp_path, environment), clear=True):
        values = runpy.run_path(str(product.BASE_DIR / "headshots" / "settings.py"))
    return {name: value for name, value in values.items() if name.isupper()}


def errors(tmp_path: Path, **environment: str) -> list[str]:
    """Return the errors of `manage.py check --deploy` with this environment, without a process of its own."""
    values = read_settings(tmp_path, **environment)
    missing = object()
    changed = {
        name: value
        for name, value in values.items()
        if name not in READ_ONCE and (name == "SECRET_KEY" or getattr(product, name, missing) != value)
    }
    with override_settings(**changed):
        return [str(found) for found in run_checks(include_deployment_checks=True) if found.is_serious(ERROR)]


def run_python(code: list[str], tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh process of the product that sees only this environment."""
    return subprocess.run(
        [sys.executable, *code],
        cwd=product.BASE_DIR,
        env=surroundings(tmp_path, environment),
        capture_output=True,
        text=True,
        timeout=60,
    )


def run_check(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_python(["manage.py", "check", "--deploy", "--fail-level", "ERROR"], tmp_path, **environment)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PHOTO_TTL_SECONDS", "a day", "HEADSHOTS_PHOTO_TTL_SECONDS must be a whole number."),
        ("GATE_ACCEPTANCE", "7.5", "HEADSHOTS_GATE_ACCEPTANCE must be a number from 0.01 to 1."),
        ("MIN_PACK_SHARE", "most", "HEADSHOTS_MIN_PACK_SHARE must be a number from 0.01 to 1."),
        ("DATABASE_URL", "nonsense", "HEADSHOTS_DATABASE_URL must look like postgres://"),
        ("EMAIL_URL", "nonsense", "HEADSHOTS_EMAIL_URL must look like smtp+tls://"),
        ("REDIS_URL", "nonsense", "HEADSHOTS_REDIS_URL must begin with redis://"),
        ("SENTRY_DSN", "nonsense", "HEADSHOTS_SENTRY_DSN must look like https://"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_and_not_repeated(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(tmp_path, **COMPLETE | {f"HEADSHOTS_{name}": value})

    assert str(refused.value).startswith(sentence)
    assert value not in str(refused.value)


def test_a_process_says_what_it_cannot_read_without_a_traceback(tmp_path: Path) -> None:
    checked = run_check(tmp_path, **COMPLETE, HEADSHOTS_PHOTO_TTL_SECONDS="a day")

    assert checked.returncode == 1
    assert "Error: HEADSHOTS_PHOTO_TTL_SECONDS must be a whole number." in checked.stderr
    assert "Traceback" not in checked.stderr


def signing_files(folder: Path) -> dict[str, str]:
    """The settings of a key and certificate that lie in this folder."""
    identity = make_test_identity("A studio in Testing")
    (folder / "key.pem").write_bytes(identity.key)
    (folder / "certificates.pem").write_bytes(identity.certificates)
    return {
        "HEADSHOTS_C2PA_KEY_FILE": str(folder / "key.pem"),
        "HEADSHOTS_C2PA_CERTIFICATE_FILE": str(folder / "certificates.pem"),
    }


def test_production_starts_clean_with_nothing_but_its_settings_and_a_signature(tmp_path: Path) -> None:
    # On a tmpfs, as the vault wants it: else it warns, rightly.
    ring = {"HEADSHOTS_PHOTO_KEYS_DIR": "/dev/shm/headshots-test"} if Path("/dev/shm").is_dir() else {}  # noqa: S108

    own = COMPLETE | ring | signing_files(tmp_path)

    checked = run_python(["manage.py", "check", "--deploy", "--fail-level", "WARNING"], tmp_path, **own)

    assert checked.returncode == 0, checked.stderr


def test_files_are_signed_with_key_and_certificate_of_the_operator_or_with_neither(
    settings: LazySettings, tmp_path: Path
) -> None:
    own, other = signing_files(tmp_path), make_test_identity("Another studio")
    settings.HEADSHOTS_C2PA_KEY_FILE = key = Path(own["HEADSHOTS_C2PA_KEY_FILE"])
    assert "or neither" in checks.check_signing(None)[0].msg
    settings.HEADSHOTS_C2PA_CERTIFICATE_FILE = Path(own["HEADSHOTS_C2PA_CERTIFICATE_FILE"])
    assert checks.check_signing(None) == []

    settings.HEADSHOTS_C2PA_TIME_AUTHORITY = "ftp://time.example.org"
    assert "must be an http" in checks.check_signing(None)[0].msg
    settings.HEADSHOTS_C2PA_TIME_AUTHORITY = "http://time.example.org"
    assert checks.check_signing(None) == []
    settings.HEADSHOTS_C2PA_KEY_FILE = settings.HEADSHOTS_C2PA_CERTIFICATE_FILE = None
    assert "of your own" in checks.check_signing(None)[0].msg
    settings.HEADSHOTS_C2PA_KEY_FILE = key
    settings.HEADSHOTS_C2PA_CERTIFICATE_FILE = Path(own["HEADSHOTS_C2PA_CERTIFICATE_FILE"])

    key.write_bytes(other.key)
    assert "belongs to another key" in checks.check_signing(None)[0].msg
    key.unlink()
    (missing,) = checks.check_signing(None)
    assert missing.id == "headshots.E009"
    assert "No such file" in missing.msg


def test_production_is_warned_of_a_test_certificate(settings: LazySettings) -> None:
    settings.DEBUG = True
    assert checks.check_signing(None) == []

    settings.DEBUG = False

    assert [message.id for message in checks.check_signing(None)] == ["headshots.W001"]


@pytest.mark.parametrize("name", ["HEADSHOTS_SECRET_KEY", "HEADSHOTS_ALLOWED_HOSTS", "HEADSHOTS_REDIS_URL"])
def test_production_refuses_to_start_without_what_it_needs(name: str, tmp_path: Path) -> None:
    found = errors(tmp_path, **{key: value for key, value in COMPLETE.items() if key != name})

    assert any(f"{name} is not set" in error for error in found)


def test_a_command_refuses_to_start_without_what_it_needs(tmp_path: Path) -> None:
    checked = run_check(tmp_path, **{key: value for key, value in COMPLETE.items() if key != "HEADSHOTS_SECRET_KEY"})

    assert checked.returncode != 0
    assert "HEADSHOTS_SECRET_KEY is not set" in checked.stderr


def test_complete_settings_have_no_error(tmp_path: Path) -> None:
    assert errors(tmp_path, **COMPLETE) == []


def test_a_server_that_answers_to_every_host_says_where_its_mails_point(settings: LazySettings) -> None:
    settings.DEBUG, settings.HEADSHOTS_SITE_URL = False, ""

    assert "headshots.E012" in [error.id for error in checks.check_production(None)]

    settings.HEADSHOTS_SITE_URL = "https://headshots.example.org"

    assert "headshots.E012" not in [error.id for error in checks.check_production(None)]


def test_photos_may_not_live_longer_than_a_day(tmp_path: Path) -> None:
    (error,) = errors(tmp_path, **COMPLETE, HEADSHOTS_PHOTO_TTL_SECONDS="86401")

    assert "HEADSHOTS_PHOTO_TTL_SECONDS" in error


def test_the_web_process_itself_refuses_a_broken_rule(tmp_path: Path) -> None:
    served = run_python(["-c", "import headshots.asgi"], tmp_path, **COMPLETE, HEADSHOTS_PHOTO_TTL_SECONDS="86401")

    assert served.returncode != 0
    assert "HEADSHOTS_PHOTO_TTL_SECONDS" in served.stderr


def test_one_redis_address_serves_broker_cache_and_live_channel(tmp_path: Path) -> None:
    def told(found: dict[str, Any]) -> list[object]:
        return [
            found["CELERY_BROKER_URL"],
            found["CACHES"]["default"]["LOCATION"],
            found["DATABASES"]["default"]["ENGINE"],
            found["CELERY_BEAT_SCHEDULE"]["purge what is due"]["schedule"],
            found["SECURE_SSL_REDIRECT"],
            found["SESSION_COOKIE_SECURE"],
        ]

    server = read_settings(tmp_path, **COMPLETE, HEADSHOTS_PHOTO_TTL_SECONDS="20")
    laptop = read_settings(tmp_path, HEADSHOTS_DEBUG="1", HEADSHOTS_REDIS_URL="unix:///run/headshots/valkey.sock")

    redis, socket = COMPLETE["HEADSHOTS_REDIS_URL"], "/run/headshots/valkey.sock"
    assert told(server) == [redis, redis, "django.db.backends.postgresql", 1.0, True, True]
    assert told(laptop) == [
        f"redis+socket://{socket}",
        f"unix://{socket}",
        "django.db.backends.sqlite3",
        60.0,
        False,
        False,
    ]


@pytest.mark.django_db
def test_sqlite_waits_for_its_turn_and_blanks_what_it_deletes(tmp_path: Path) -> None:
    file = {**product.DATABASES["default"], "NAME": tmp_path / "db.sqlite3"}
    connection = ConnectionHandler({"default": file})["default"]

    def pragma(name: str) -> object:
        with connection.cursor() as cursor:
            return cursor.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("secure_delete") == 1
    assert pragma("busy_timeout") == 20_000
    assert connection.transaction_mode == "IMMEDIATE"
    connection.close()


@pytest.fixture(scope="module")
def hardened(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """What a process of the product says of itself: whether it can be dumped, its limit for core files; its folder."""
    folder = tmp_path_factory.mktemp("hardened")
    # 3 is PR_GET_DUMPABLE.
    dumpable = "ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == 'linux' else ''"
    limit = "resource.getrlimit(resource.RLIMIT_CORE)"
    code = f"import ctypes, django, resource, sys; django.setup(); print({dumpable}); print({limit})"
    made = run_python(["-c", code], folder, HEADSHOTS_DEBUG="1", DJANGO_SETTINGS_MODULE="headshots.settings")
    assert made.returncode == 0, made.stderr
    can_be_dumped, core = made.stdout.splitlines()
    return can_be_dumped, core, folder / "DATA_DIR"


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of Linux")
def test_no_other_process_of_the_same_user_reads_our_memory(hardened: tuple[str, str, Path]) -> None:
    assert hardened[0] == "0"


def test_the_data_folder_is_private_and_no_core_is_dumped(hardened: tuple[str, str, Path]) -> None:
    _, core, data = hardened

    assert core == "(0, 0)"
    assert data.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("HEADSHOTS_PREVIEW_COUNT", 0, "headshots.E001"),
        ("HEADSHOTS_LEASE_SECONDS", 0, "headshots.E001"),
        ("HEADSHOTS_HEADSHOT_RETENTION_DAYS", 0, "headshots.E001"),
        ("HEADSHOTS_LIKENESS_MAX_DISTANCE", -1.0, "headshots.E002"),
        ("HEADSHOTS_PREMIUM_COUNT", 0, "headshots.E001"),
        ("HEADSHOTS_PREMIUM_LONG_EDGE", 100_000, "headshots.E008"),
        ("HEADSHOTS_PREMIUM_LONG_EDGE", 1920, "headshots.E008"),
        ("FILE_UPLOAD_MAX_MEMORY_SIZE", 2_621_440, "headshots.E003"),
    ],
)
def test_a_value_that_cannot_work_is_refused(settings: LazySettings, name: str, value: float, code: str) -> None:
    setattr(settings, name, value)

    assert [message.id for message in checks.check_work(None)] == [code]


def test_an_open_gate_is_for_tests_only(settings: LazySettings) -> None:
    settings.HEADSHOTS_LIKENESS_MAX_DISTANCE = float("inf")
    settings.DEBUG = True
    assert checks.check_work(None) == []

    settings.DEBUG = False

    assert [message.id for message in checks.check_work(None)] == ["headshots.E002"]


def test_premium_packs_below_4k_are_for_tests_only(settings: LazySettings) -> None:
    settings.HEADSHOTS_PREMIUM_LONG_EDGE = 800
    settings.DEBUG = True
    assert checks.check_work(None) == []

    settings.DEBUG = False

    assert [message.id for message in checks.check_work(None)] == ["headshots.E008"]


@pytest.mark.parametrize(
    ("key", "live"),
    [("", False), ("sk_test_1", False), ("rk_test_1", False), ("sk_live_1", True), ("rk_live_1", True)],
)
def test_a_live_key_of_stripe_makes_payments_live(key: str, live: bool, tmp_path: Path) -> None:
    read = read_settings(tmp_path, HEADSHOTS_DEBUG="1", HEADSHOTS_STRIPE_SECRET_KEY=key)

    assert read["HEADSHOTS_LIVE_PAYMENTS"] is live


def test_mails_of_the_embedded_product_name_the_address_that_it_has(tmp_path: Path) -> None:
    here = "http://127.0.0.1:8000/"

    assert read_settings(tmp_path, HEADSHOTS_DEBUG="1", HEADSHOTS_LOCAL_URL=here)["HEADSHOTS_SITE_URL"] == here[:-1]


def test_live_payments_and_weights_for_research_need_a_license_statement(tmp_path: Path) -> None:
    earning = {
        **COMPLETE,
        "HEADSHOTS_STRIPE_SECRET_KEY": "sk_live_1",
        "HEADSHOTS_OPERATOR_ADDRESS": "1 Some Street, Sometown",
        "HEADSHOTS_SUPPORT_EMAIL": "support@headshots.example.org",
        "HEADSHOTS_STRIPE_WEBHOOK_SECRET": "whsec_1",
        "HEADSHOTS_SITE_URL": "https://headshots.example.org",
        "HEADSHOTS_SELL_STUDIO": "1",
        "HEADSHOTS_ENGINE": "instantid",
    }

    refused = errors(tmp_path, **earning)
    stated = errors(tmp_path, **earning, HEADSHOTS_LICENSE_STATEMENT="insightface, contract 7 of 2026")
    studio = errors(tmp_path, **{**earning, "HEADSHOTS_ENGINE": "studio"})

    assert refused != []
    assert all("headshots.E007" in error for error in refused)
    assert "antelopev2" in "".join(refused)
    assert "sk_live" not in "".join(refused)
    assert (stated, studio) == ([], [])


def test_settings_of_the_engine_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    found = errors(tmp_path, **COMPLETE, HEADSHOTS_ENGINE="instantid", HEADSHOTS_INSTANTID_OPTIMIZATIONS="+warp_speed")

    assert "'+warp_speed' is not a +optimization" in "".join(found)


def test_an_engine_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "must be one of: auto, studio, instantid" in "".join(errors(tmp_path, **COMPLETE, HEADSHOTS_ENGINE="oils"))


@pytest.mark.parametrize(("token", "is_good"), [("", True), ("guess", False), ("ü" * 30, False), ("a" * 20, True)])
def test_a_token_that_could_be_guessed_is_refused(settings: LazySettings, token: str, is_good: bool) -> None:
    settings.HEADSHOTS_METRICS_TOKEN = token

    assert [message.id for message in checks.check_metrics(None)] == ([] if is_good else ["headshots.E010"])


@pytest.mark.parametrize(("keys", "is_good"), [([], True), (["a" * 20], True), (["a" * 20, "short"], False)])
def test_a_watermark_key_that_could_be_guessed_is_refused(
    settings: LazySettings, keys: list[str], is_good: bool
) -> None:
    settings.HEADSHOTS_WATERMARK_KEYS = keys

    assert [message.id for message in checks.check_watermark_keys(None)] == ([] if is_good else ["headshots.E014"])


@pytest.mark.django_db
def test_a_database_of_another_version_is_refused() -> None:
    assert checks.check_database_version(databases=["default"]) == []

    MigrationRecorder(connection).record_applied("shoots", "0019_no_measurements")

    (error,) = checks.check_database_version(databases=["default"])
    assert "belongs to another version of Headshots" in error.msg
    assert "shoots.0019_no_measurements" in error.msg
    assert "new data folder" in str(error.hint)
