"""System checks of the settings. Commands and web processes refuse to start if one fails. Workers ignore them."""

from collections.abc import Sequence
from dataclasses import asdict

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from headshots import engine
from headshots.web.humanize import FOUR_K_PX

# Above this distance, pictures of different people would be accepted as the same person.
MAX_DISTANCE = 0.6
MIN_TOKEN_LENGTH = 20
# A quarter of the threads is reserved for requests with large bodies. One address gets half of the others.
MIN_THREADS = 4
# The promised size, the smallest size for tests, and the largest size that fits into the documented memory of a worker.
PROMISED_EDGE_PX, MIN_EDGE_PX, MAX_EDGE_PX = FOUR_K_PX, 400, 5120


@register(Tags.security)
def check_work(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Check counts, times, the likeness distance, the size of premium pictures and the size of uploads."""
    errors: list[CheckMessage] = [
        Error(f"{name} must be 1 or more.", id="headshots.E001")
        for name in (
            "HEADSHOTS_HEADSHOT_RETENTION_DAYS",
            "HEADSHOTS_PREVIEWS_PER_DAY",
            "HEADSHOTS_PREVIEW_COUNT",
            "HEADSHOTS_PREMIUM_COUNT",
            "HEADSHOTS_LEASE_SECONDS",
            "HEADSHOTS_TASK_STALL_TIMEOUT",
            "HEADSHOTS_MODEL_LOAD_TIMEOUT",
        )
        if getattr(settings, name) < 1
    ]
    distance = settings.HEADSHOTS_LIKENESS_MAX_DISTANCE
    if distance is not None and distance <= 0:
        errors.append(Error("HEADSHOTS_LIKENESS_MAX_DISTANCE must be above 0.", id="headshots.E002"))
    if distance is not None and distance > MAX_DISTANCE and not settings.DEBUG:
        errors.append(Error(f"HEADSHOTS_LIKENESS_MAX_DISTANCE above {MAX_DISTANCE} is for tests.", id="headshots.E002"))
    edge = settings.HEADSHOTS_PREMIUM_LONG_EDGE
    if not (MIN_EDGE_PX if settings.DEBUG else PROMISED_EDGE_PX) <= edge <= MAX_EDGE_PX:
        errors.append(
            Error(
                f"HEADSHOTS_PREMIUM_LONG_EDGE must be {PROMISED_EDGE_PX} to {MAX_EDGE_PX}.",
                hint="Smaller sizes, down to 400, are for tests: they break the promise of 4K and need DEBUG.",
                id="headshots.E008",
            )
        )
    if settings.FILE_UPLOAD_MAX_MEMORY_SIZE < settings.HEADSHOTS_MAX_UPLOAD_BYTES:
        errors.append(
            Error(
                "FILE_UPLOAD_MAX_MEMORY_SIZE is smaller than the largest allowed upload.",
                hint="Django would write larger uploads to a temporary file, unencrypted.",
                id="headshots.E003",
            )
        )
    return errors


@register(Tags.security)
def check_limits(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Check that the limits of web processes let at least one legitimate request through."""
    limits = settings.HEADSHOTS_LIMITS
    errors: list[CheckMessage] = [
        Error(f"HEADSHOTS_{name.upper()} must be 1 or more.", id="headshots.E011")
        for name, value in asdict(limits).items()
        if value < 1
    ]
    if limits.web_threads < MIN_THREADS:
        errors.append(Error(f"HEADSHOTS_WEB_THREADS must be {MIN_THREADS} or more.", id="headshots.E011"))
    # One address gets half of the budget, and an eighth for requests without an account.
    least = max(2 * settings.HEADSHOTS_MAX_UPLOAD_BYTES, 8 * settings.HEADSHOTS_MAX_VERIFY_BYTES)
    if limits.body_budget_bytes < least:
        errors.append(Error(f"HEADSHOTS_BODY_BUDGET_BYTES must be {least} or more.", id="headshots.E011"))
    if limits.body_grace_seconds > limits.body_timeout_seconds:
        errors.append(
            Error("HEADSHOTS_BODY_GRACE_SECONDS must not exceed HEADSHOTS_BODY_TIMEOUT_SECONDS.", id="headshots.E011")
        )
    return errors


@register(Tags.security)
def check_engine(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Check that the settings of the engine are valid and that its weights' licenses allow their use."""
    return [Error(refusal, id="headshots.E007") for refusal in engine.refusals()]


@register(Tags.security)
def check_signing(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Check that key and certificate for signing files are both set or both unset, and that they can be used.

    Warns in production if files are signed with a test certificate."""
    if fault := engine.signing_fault():
        return [Error(fault, id="headshots.E009")]
    if settings.HEADSHOTS_C2PA_KEY_FILE is None and not settings.DEBUG:
        return [
            checks.Warning(
                "Files are signed with a test certificate, which proves nothing.",
                hint="Set HEADSHOTS_C2PA_KEY_FILE and HEADSHOTS_C2PA_CERTIFICATE_FILE.",
                id="headshots.W001",
            )
        ]
    return []


@register(Tags.security)
def check_watermark_keys(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Check that the keys of the invisible watermark are too long to guess."""
    if all(len(key) >= MIN_TOKEN_LENGTH for key in settings.HEADSHOTS_WATERMARK_KEYS):
        return []
    return [
        Error(
            f"Each of HEADSHOTS_WATERMARK_KEYS must have at least {MIN_TOKEN_LENGTH} characters.",
            hint="Generate one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
            id="headshots.E014",
        )
    ]


@register(Tags.security)
def check_metrics(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Check that the token for /metrics is too long to guess and fits into an HTTP header."""
    token = settings.HEADSHOTS_METRICS_TOKEN
    if token and not (len(token) >= MIN_TOKEN_LENGTH and token.isascii()):
        return [
            Error(
                f"HEADSHOTS_METRICS_TOKEN must have at least {MIN_TOKEN_LENGTH} ASCII characters.",
                hint="Generate one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
                id="headshots.E010",
            )
        ]
    return []


@register(Tags.security)
def check_production(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Check that the settings a production server needs are set. In debug mode, only the secret key is required."""
    errors: list[CheckMessage] = []
    if not _secret_key():
        errors.append(Error("HEADSHOTS_SECRET_KEY is not set.", id="headshots.E004"))
    if settings.DEBUG:
        return errors
    if not settings.ALLOWED_HOSTS:
        errors.append(Error("HEADSHOTS_ALLOWED_HOSTS is not set.", id="headshots.E005"))
    if not settings.HEADSHOTS_SITE_URL:
        errors.append(
            Error(
                "HEADSHOTS_SITE_URL is not set.",
                hint="Without it, a request with another host name puts that host into the links of emails.",
                id="headshots.E012",
            )
        )
    if not settings.HEADSHOTS_REDIS_URL:
        errors.append(
            Error(
                "HEADSHOTS_REDIS_URL is not set.",
                hint="Workers, rate limits and live progress need one server that all processes can reach.",
                id="headshots.E006",
            )
        )
    return errors


def _secret_key() -> str:
    """Return the secret key, or "" if it is empty. Django raises an error when an empty key is read."""
    try:
        key: str = settings.SECRET_KEY
        return key
    except ImproperlyConfigured:
        return ""


@register(Tags.database)
def check_database_version(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Refuse a database with migrations that this version does not know.

    `migrate` would mix two sets of tables."""
    labels = {config.label for config in apps.get_app_configs() if config.name.startswith("headshots.")}
    errors: list[CheckMessage] = []
    for alias in databases or ():
        loader = MigrationLoader(connections[alias])
        ours = sorted(migration for migration in loader.applied_migrations if migration[0] in labels)
        unknown = [f"{label}.{name}" for label, name in ours if (label, name) not in loader.disk_migrations]
        if unknown:
            hint = "Start with a new data folder (run.py --data FOLDER) or a new database (HEADSHOTS_DATABASE_URL)."
            message = f"The database belongs to another version of Headshots and can't be read ({unknown[0]})."
            errors.append(Error(message, hint=hint, id="headshots.E013"))
    return errors
