"""Django settings, read from environment variables. docs/configuration.md lists all variables.

System checks such as `headshots/web/checks.py` validate the values. No secret has a default in production.
"""

import os
import re
import secrets
import tempfile
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from headshots.runtime.celery_settings import beat_schedule, broker_url
from headshots.runtime.data_settings import cache_settings, database_settings
from headshots.runtime.limits import read_limits, read_share
from headshots.runtime.log_format import logging_settings
from headshots.runtime.operator import read_operator_details

env = environ.Env()


def _int(name: str, default: int) -> int:
    """Return a variable as a whole number. The error omits the value, which could be a misplaced secret."""
    try:
        return int(env.str(name, default=str(default)))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number.") from error


def _path(name: str) -> Path | None:
    """Return a variable as an absolute path, None if it is not set."""
    value = env.str(name, default="")
    return Path(value).resolve() if value else None


BASE_DIR = Path(__file__).resolve().parent.parent

# Features and limits ---------------------------------------------------------------------------------------------

DEBUG = env.bool("HEADSHOTS_DEBUG", default=False)

HEADSHOTS_DATA_DIR = Path(env.str("HEADSHOTS_DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
HEADSHOTS_PHOTO_TTL_SECONDS = _int("HEADSHOTS_PHOTO_TTL_SECONDS", 86_400)
HEADSHOTS_HEADSHOT_RETENTION_DAYS = _int("HEADSHOTS_HEADSHOT_RETENTION_DAYS", 30)
# Days that the operator keeps backups of data and database, and of the headshots' keys (0: no backups). Proofs of
# consent and deletion are kept for five years, the period for claims under BIPA. Payments of deleted accounts are kept
# without personal data for ten years, as the strictest tax laws require.
HEADSHOTS_BACKUP_DAYS = _int("HEADSHOTS_BACKUP_DAYS", 0)
HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS = _int("HEADSHOTS_HEADSHOT_KEY_BACKUP_DAYS", 0)
HEADSHOTS_DELETION_RECORD_DAYS = _int("HEADSHOTS_DELETION_RECORD_DAYS", 5 * 365)
HEADSHOTS_PAYMENT_RETENTION_DAYS = _int("HEADSHOTS_PAYMENT_RETENTION_DAYS", 10 * 365)
HEADSHOTS_PREVIEWS_PER_DAY = _int("HEADSHOTS_PREVIEWS_PER_DAY", 3)
HEADSHOTS_PREVIEW_COUNT = _int("HEADSHOTS_PREVIEW_COUNT", 4)
# A premium pack: number of headshots, and their long edge in pixels (smaller for tests only).
HEADSHOTS_PREMIUM_COUNT = _int("HEADSHOTS_PREMIUM_COUNT", 50)
HEADSHOTS_PREMIUM_LONG_EDGE = _int("HEADSHOTS_PREMIUM_LONG_EDGE", 3840)
HEADSHOTS_LEASE_SECONDS = _int("HEADSHOTS_LEASE_SECONDS", 60)
# Lowest acceptance of the quality gate at which 99% of packs must still be completed, and smallest share of its
# headshots with which a paid pack that cannot be completed is offered instead of failing. 1: no incomplete packs.
HEADSHOTS_GATE_ACCEPTANCE = read_share("HEADSHOTS_GATE_ACCEPTANCE", env.str("HEADSHOTS_GATE_ACCEPTANCE", default="0.6"))
HEADSHOTS_MIN_PACK_SHARE = read_share("HEADSHOTS_MIN_PACK_SHARE", env.str("HEADSHOTS_MIN_PACK_SHARE", default="0.8"))
# Folder of the heartbeat files, and seconds without progress after which a worker counts as stalled: while it runs a
# task, and while it loads and compiles its models.
HEADSHOTS_RUN_DIR = _path("HEADSHOTS_RUN_DIR") or HEADSHOTS_DATA_DIR / "run"
HEADSHOTS_TASK_STALL_TIMEOUT = _int("HEADSHOTS_TASK_STALL_TIMEOUT", 300)
HEADSHOTS_MODEL_LOAD_TIMEOUT = _int("HEADSHOTS_MODEL_LOAD_TIMEOUT", 1800)
HEADSHOTS_MAX_PHOTOS = 5
HEADSHOTS_MAX_PHOTO_BYTES = 25 * 1024 * 1024

HEADSHOTS_ENGINE = env.str("HEADSHOTS_ENGINE", default="auto")
HEADSHOTS_WEIGHTS_DIR = _path("HEADSHOTS_WEIGHTS_DIR")
# The operator's own weights in addition to the built-in ones, in the format of pipeline/weights/weights.toml.
HEADSHOTS_WEIGHTS_CATALOG = _path("HEADSHOTS_WEIGHTS_CATALOG")
# The InstantID engine, as InstantIDOptions explains. An empty sampler and 0 steps mean those of the model card.
HEADSHOTS_INSTANTID_CHECKPOINT = env.str("HEADSHOTS_INSTANTID_CHECKPOINT", default="realvisxl")
HEADSHOTS_INSTANTID_DEVICE = env.str("HEADSHOTS_INSTANTID_DEVICE", default="cuda")
HEADSHOTS_INSTANTID_OPTIMIZATIONS = env.list("HEADSHOTS_INSTANTID_OPTIMIZATIONS", default=[])
HEADSHOTS_INSTANTID_SAMPLER = env.str("HEADSHOTS_INSTANTID_SAMPLER", default="")
HEADSHOTS_INSTANTID_STEPS = _int("HEADSHOTS_INSTANTID_STEPS", 0)
HEADSHOTS_INSTANTID_CANVAS_PIXELS = _int("HEADSHOTS_INSTANTID_CANVAS_PIXELS", 896 * 1152)
HEADSHOTS_INSTANTID_MAX_BATCH = _int("HEADSHOTS_INSTANTID_MAX_BATCH", 10)
HEADSHOTS_INSTANTID_PROPORTIONS = env.str("HEADSHOTS_INSTANTID_PROPORTIONS", default="person")
# Signing identity of the finished files (C2PA): PEM of a P-256 key and its certificates. Default: a test certificate.
HEADSHOTS_C2PA_KEY_FILE = _path("HEADSHOTS_C2PA_KEY_FILE")
HEADSHOTS_C2PA_CERTIFICATE_FILE = _path("HEADSHOTS_C2PA_CERTIFICATE_FILE")
# A time-stamp authority (RFC 3161) that confirms when files were signed. Empty: none.
HEADSHOTS_C2PA_TIME_AUTHORITY = env.str("HEADSHOTS_C2PA_TIME_AUTHORITY", default="").strip()
HEADSHOTS_WATERMARK_KEYS = env.list("HEADSHOTS_WATERMARK_KEYS", default=[])  # the first marks new pictures
# The operator's license for weights that are not free for commercial use. `manage.py doctor` shows it.
HEADSHOTS_LICENSE_STATEMENT = env.str("HEADSHOTS_LICENSE_STATEMENT", default="").strip()
# A live Stripe key means real payments. In debug mode without a key, the built-in test checkout is used.
HEADSHOTS_STRIPE_SECRET_KEY = env.str("HEADSHOTS_STRIPE_SECRET_KEY", default="").strip()
HEADSHOTS_LIVE_PAYMENTS = HEADSHOTS_STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
HEADSHOTS_STRIPE_WEBHOOK_SECRET = env.str("HEADSHOTS_STRIPE_WEBHOOK_SECRET", default="").strip()
HEADSHOTS_STRIPE_API_URL = env.str("HEADSHOTS_STRIPE_API_URL", default="")  # only for tests
HEADSHOTS_TEST_CHECKOUT = env.bool("HEADSHOTS_TEST_CHECKOUT", default=DEBUG and not HEADSHOTS_STRIPE_SECRET_KEY)
# Prices as decimal numbers. Packs of the studio engine, which makes no new pictures, are sold only if enabled.
HEADSHOTS_PRICE = env.str("HEADSHOTS_PRICE", default="19").strip()
HEADSHOTS_STUDIO_PRICE = env.str("HEADSHOTS_STUDIO_PRICE", default="19").strip()
HEADSHOTS_CURRENCY = env.str("HEADSHOTS_CURRENCY", default="usd").strip().lower()
HEADSHOTS_SELL_STUDIO = env.bool("HEADSHOTS_SELL_STUDIO", default=False)
HEADSHOTS_PROMOTION_CODES = env.bool("HEADSHOTS_PROMOTION_CODES", default=False)
HEADSHOTS_AUTOMATIC_TAX = env.bool("HEADSHOTS_AUTOMATIC_TAX", default=False)
# Stripe's names of payment methods. Only instant methods, because photos do not wait for a bank transfer.
HEADSHOTS_PAYMENT_METHODS = env.list("HEADSHOTS_PAYMENT_METHODS", default=["card"])
HEADSHOTS_REFUND_DAYS = _int("HEADSHOTS_REFUND_DAYS", 14)
HEADSHOTS_REDO_DAYS = _int("HEADSHOTS_REDO_DAYS", 7)
# None: the measured distance (pipeline.identity.likeness). `inf` accepts every picture, for tests. In production, a
# check refuses it. env.float is not used because it drops all letters.
_max_distance = env.str("HEADSHOTS_LIKENESS_MAX_DISTANCE", default="")
try:
    HEADSHOTS_LIKENESS_MAX_DISTANCE = float(_max_distance) if _max_distance else None
except ValueError as error:
    raise ImproperlyConfigured("HEADSHOTS_LIKENESS_MAX_DISTANCE must be a number.") from error
# The operator's own calibration, a file that `python -m pipeline calibrate` has written.
HEADSHOTS_LIKENESS_CALIBRATION = _path("HEADSHOTS_LIKENESS_CALIBRATION")

# Keys are never stored in the data folder: a copy of that folder alone must be unreadable. Photos' keys are stored in
# memory, if the system has a folder for that. Headshots' keys are stored in the user's state folder.
_in_memory = Path("/dev/shm")  # noqa: S108 (the vault makes its own private folder below it)
_photo_keys_base = _in_memory if _in_memory.is_dir() else Path(tempfile.gettempdir())
_state_home = env.str("XDG_STATE_HOME", default="") or str(Path.home() / ".local" / "state")
_photo_keys_dir = _photo_keys_base / f"headshots-{os.getuid()}"
HEADSHOTS_PHOTO_KEYS_DIR = _path("HEADSHOTS_PHOTO_KEYS_DIR") or _photo_keys_dir.resolve()
HEADSHOTS_HEADSHOT_KEYS_DIR = _path("HEADSHOTS_HEADSHOT_KEYS_DIR") or (Path(_state_home) / "headshots").resolve()
# Deletions to repeat after a backup has been restored. Keep this folder apart from the data folder and all backups.
HEADSHOTS_DELETIONS_DIR = _path("HEADSHOTS_DELETIONS_DIR") or (HEADSHOTS_HEADSHOT_KEYS_DIR / "deletions").resolve()

# With several machines, each kind of key is on its own Redis. The one for photos' keys must neither persist nor evict
# keys (the operator states this if the server forbids asking). The one for headshots' keys must persist its keys.
HEADSHOTS_PHOTO_KEYS_URL = env.str("HEADSHOTS_PHOTO_KEYS_URL", default="").strip()
HEADSHOTS_PHOTO_KEYS_ARE_VOLATILE = env.bool("HEADSHOTS_PHOTO_KEYS_ARE_VOLATILE", default=False)
HEADSHOTS_HEADSHOT_KEYS_URL = env.str("HEADSHOTS_HEADSHOT_KEYS_URL", default="").strip()
HEADSHOTS_SWAP_IS_ENCRYPTED = env.bool("HEADSHOTS_SWAP_IS_ENCRYPTED", default=False)

# Bucket for the encrypted files, instead of the data folder. boto3 finds the credentials in its usual places.
HEADSHOTS_S3_BUCKET = env.str("HEADSHOTS_S3_BUCKET", default="").strip()
HEADSHOTS_S3_ENDPOINT = env.str("HEADSHOTS_S3_ENDPOINT", default="").strip()
HEADSHOTS_S3_REGION = env.str("HEADSHOTS_S3_REGION", default="").strip()
_s3_prefix = env.str("HEADSHOTS_S3_PREFIX", default="").strip().strip("/")
HEADSHOTS_S3_PREFIX = f"{_s3_prefix}/" if _s3_prefix else ""

# Requests ---------------------------------------------------------------------------------------------------------

# A system check refuses an empty key. In debug mode, each process without a configured key gets a random one.
SECRET_KEY = env.str("HEADSHOTS_SECRET_KEY", default=secrets.token_urlsafe(50) if DEBUG else "")
ALLOWED_HOSTS = env.list("HEADSHOTS_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS = env.list("HEADSHOTS_CSRF_TRUSTED_ORIGINS", default=[])
# Base of links in emails. Default: the first allowed host, or run.py's address in debug mode; empty if unknown.
_first_host = ALLOWED_HOSTS[0].lstrip(".") if ALLOWED_HOSTS and not DEBUG and "*" not in ALLOWED_HOSTS[0] else ""
_guessed = f"https://{_first_host}" if _first_host else env.str("HEADSHOTS_LOCAL_URL", default="") if DEBUG else ""
HEADSHOTS_SITE_URL = env.str("HEADSHOTS_SITE_URL", default=_guessed).rstrip("/")
# The operator's name, what else the imprint says, and the email addresses for abuse reports and for customers.
HEADSHOTS_OPERATOR = env.str("HEADSHOTS_OPERATOR", default="").strip()
HEADSHOTS_OPERATOR_DETAILS = read_operator_details(lambda name: env.str(name, default=""))
HEADSHOTS_ABUSE_EMAIL = env.str("HEADSHOTS_ABUSE_EMAIL", default="").strip()
HEADSHOTS_ABUSE_REPORT_HOURS = _int("HEADSHOTS_ABUSE_REPORT_HOURS", 24)  # then a health check warns
HEADSHOTS_SUPPORT_EMAIL = env.str("HEADSHOTS_SUPPORT_EMAIL", default="").strip()
# The operator's data processors (hosting, email), separated by ";". The privacy page names them.
_processors = env.str("HEADSHOTS_DATA_PROCESSORS", default="").split(";")
HEADSHOTS_DATA_PROCESSORS = [name.strip() for name in _processors if name.strip()]
# Number of the operator's proxies in front of the product. Only their forwarding headers are trusted.
HEADSHOTS_TRUSTED_PROXIES = _int("HEADSHOTS_TRUSTED_PROXIES", 0)

INSTALLED_APPS = [
    # allauth comes first, so that headshots.accounts can replace its admin.
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "headshots.accounts",
    "headshots.vault",
    "headshots.shoots",
    "headshots.payments",
    "headshots.retention",
    "headshots.data_rights",
    "headshots.dashboard",
    "headshots.pages",
    "headshots.web",
    "csp",
    "headshots.dashboard.admin_config.OperatorAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sitemaps",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "headshots.web.middleware.RequestIdMiddleware",
    "headshots.web.middleware.CompressionMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "headshots.web.middleware.PrivacyHeadersMiddleware",
    "headshots.web.middleware.ContentSecurityPolicyMiddleware",
    "headshots.web.error_pages.RefusedBodyMiddleware",
    "headshots.web.middleware.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "headshots.web.error_pages.AppendSlashMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "headshots.web.error_pages.ErrorPageMiddleware",
    "headshots.dashboard.stats.visits.VisitCounterMiddleware",
]

ROOT_URLCONF = "headshots.urls"
ASGI_APPLICATION = "headshots.asgi.application"
APPEND_SLASH = True
DEFAULT_EXCEPTION_REPORTER = "headshots.web.error_pages.SilentExceptionReporter"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "headshots.shoots.pauses.pauses",
                "headshots.payments.context_processors.payments",
            ],
        },
    },
]

# Data -------------------------------------------------------------------------------------------------------------

_sqlite_url = f"sqlite:///{HEADSHOTS_DATA_DIR / 'db.sqlite3'}"
_database = env.db_url("HEADSHOTS_DATABASE_URL", default=_sqlite_url)
if "ENGINE" not in _database:
    raise ImproperlyConfigured("HEADSHOTS_DATABASE_URL must look like postgres://user:password@host/name.")
DATABASES = {"default": database_settings(_database, HEADSHOTS_DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

HEADSHOTS_REDIS_URL = env.str("HEADSHOTS_REDIS_URL", default="")
"""Server for broker, cache and pub/sub: redis://, rediss:// or unix:///path. Empty: this process only (tests)."""

CACHES = {"default": cache_settings(HEADSHOTS_REDIS_URL)}

# Tasks ------------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = broker_url(HEADSHOTS_REDIS_URL)
CELERY_BEAT_SCHEDULE_FILENAME = str(HEADSHOTS_RUN_DIR / "beat-schedule")
CELERY_BEAT_SCHEDULE = beat_schedule(photo_ttl_seconds=HEADSHOTS_PHOTO_TTL_SECONDS)

# Accounts and emails ----------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "shoots:new"

# True: staff need a second factor for /admin/.
HEADSHOTS_STAFF_TWO_FACTOR = env.bool("HEADSHOTS_STAFF_TWO_FACTOR", default=False)
# Recipients of the weekly report on Mondays. Empty: all accounts with the owner role.
HEADSHOTS_REPORT_EMAILS = env.list("HEADSHOTS_REPORT_EMAILS", default=[])
# Bearer token for /metrics. Without one, only staff with access to figures can open it, or in debug mode this machine.
HEADSHOTS_METRICS_TOKEN = env.str("HEADSHOTS_METRICS_TOKEN", default="").strip()

# Without an email server, emails are written to files in the data folder and email addresses are not verified.
HEADSHOTS_EMAIL_URL = env.str("HEADSHOTS_EMAIL_URL", default="")
if HEADSHOTS_EMAIL_URL:
    try:
        vars().update(env.email_url("HEADSHOTS_EMAIL_URL"))
    except (ImproperlyConfigured, KeyError) as error:
        raise ImproperlyConfigured("HEADSHOTS_EMAIL_URL must look like smtp+tls://user:password@host:587.") from error
    EMAIL_TIMEOUT = 10
else:
    EMAIL_BACKEND = "headshots.runtime.mail_files.PrivateFileEmailBackend"
    EMAIL_FILE_PATH = HEADSHOTS_DATA_DIR / "mail"
DEFAULT_FROM_EMAIL = env.str("HEADSHOTS_EMAIL_FROM", default="Headshots <no-reply@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

ACCOUNT_ADAPTER = "headshots.accounts.adapters.AccountAdapter"
_forms = {"login": "SignInForm", "reset_password": "PasswordResetRequestForm", "add_email": "AddEmailAddressForm"}
ACCOUNT_FORMS = {name: f"headshots.accounts.forms.{form}" for name, form in _forms.items()}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if HEADSHOTS_EMAIL_URL else "none"
ACCOUNT_EMAIL_NOTIFICATIONS = bool(HEADSHOTS_EMAIL_URL)
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # sent by the form for forgotten passwords
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "http" if DEBUG else "https"
ACCOUNT_SIGNUP_REDIRECT_URL = "shoots:new"
ACCOUNT_LOGOUT_REDIRECT_URL = "pages:home"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
# Counted in the shared cache. Other limits keep allauth's defaults. Longer periods allow fewer attempts per hour.
# upload: counts refused photos too. The limit per IP address is higher, because an office can share one address.
ACCOUNT_RATE_LIMITS = {
    "login_failed": "10/m/ip,100/h/ip,5/300s/key,20/h/key,60/d/key", "reset_password": "20/m/ip,5/h/key",
    "login_failed_in_known_browser": "5/300s/key,20/h/key", "verify": "20/m/ip", "upload": "30/10m/user,90/10m/ip",
    "withdraw": "10/h/ip", "report": "5/h/ip", "report_to": "5/d/key",
}  # fmt: skip
MFA_ADAPTER = "headshots.accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Headshots"
MFA_ALLOW_UNVERIFIED_EMAIL = not HEADSHOTS_EMAIL_URL
ALLAUTH_TRUSTED_PROXY_COUNT = HEADSHOTS_TRUSTED_PROXIES

# No unencrypted personal data on disk -------------------------------------------------------------------------------

# The ASGI handler would write a larger body unencrypted to a temporary file. Therefore its limit exceeds the largest
# body that headshots.web.bodies accepts, and the only upload handler is the one in memory.
HEADSHOTS_MAX_BODY_BYTES = 1024 * 1024
HEADSHOTS_MAX_UPLOAD_BYTES = HEADSHOTS_MAX_PHOTOS * HEADSHOTS_MAX_PHOTO_BYTES + HEADSHOTS_MAX_BODY_BYTES
HEADSHOTS_MAX_VERIFY_BYTES = HEADSHOTS_MAX_PHOTO_BYTES + HEADSHOTS_MAX_BODY_BYTES
HEADSHOTS_LIMITS = read_limits(_int)
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = HEADSHOTS_MAX_UPLOAD_BYTES + 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = HEADSHOTS_MAX_BODY_BYTES
DATA_UPLOAD_MAX_NUMBER_FILES = 50

# HTTPS and response headers ---------------------------------------------------------------------------------------

HEADSHOTS_HTTPS = env.bool("HEADSHOTS_HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = HEADSHOTS_HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = _int("HEADSHOTS_HSTS_SECONDS", 31_536_000) if HEADSHOTS_HTTPS else 0
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # HSTS of the operator's other hosts, and preloading
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HEADSHOTS_TRUSTED_PROXIES else None
SESSION_ENGINE = "headshots.accounts.sessions"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HEADSHOTS_HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        # blob: previews of photos that have not been uploaded yet.
        "img-src": ["'self'", "blob:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", *(["https://checkout.stripe.com"] if HEADSHOTS_STRIPE_SECRET_KEY else [])],
        "frame-ancestors": ["'none'"],
    }
}

STATIC_URL = "static/"
STATIC_ROOT = _path("HEADSHOTS_STATIC_ROOT") or BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Without collected files, they are read from the sources on each request.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = _uses_sources = DEBUG and _path("HEADSHOTS_STATIC_ROOT") is None
WHITENOISE_MAX_AGE = 0 if _uses_sources else 3600
WHITENOISE_ALLOW_ALL_ORIGINS = False
_source_files = "django.contrib.staticfiles.storage.StaticFilesStorage"
_hashed_files = "headshots.web.static_files.HashedFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": _source_files if _uses_sources else _hashed_files},
}

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
DATE_FORMAT = "M j, Y"
DATETIME_FORMAT = "M j, Y, H:i"

# Logging: ids and numbers only, no email addresses, names or contents ----------------------------------------------

LOGGING = logging_settings(
    level=env.str("HEADSHOTS_LOG_LEVEL", default="INFO"), as_json=env.bool("HEADSHOTS_LOG_JSON", default=not DEBUG)
)

# Receives crash reports that contain only types and code positions (headshots/runtime/error_reports.py).
HEADSHOTS_SENTRY_DSN = env.str("HEADSHOTS_SENTRY_DSN", default="").strip()
if HEADSHOTS_SENTRY_DSN and not re.fullmatch(r"https?://[^@/\s]+@[^@\s]+/\d+", HEADSHOTS_SENTRY_DSN):
    raise ImproperlyConfigured("HEADSHOTS_SENTRY_DSN must look like https://key@host/number.")
