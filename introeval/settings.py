"""Settings, in reading order. Every value is an environment variable; docs/settings.md is its table.

A value that can't be read stops the process and names the variable: a lab must not run for a term on a typo.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import sys
from pathlib import Path

import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from introeval import database, embedded
from introeval.environment import (
    address,
    addresses,
    broker,
    count,
    flag,
    folder,
    hosts,
    machine_zone,
    one_of,
    origins,
    pair,
    positive,
    refusal,
    services,
    text,
    time_zone,
)
from introeval.lan import addresses as lan
from introeval.lan import profile
from queueing.engines.llm import models
from queueing.worker import restart

django_stubs_ext.monkeypatch()  # before any admin class is made

BASE_DIR = Path(__file__).resolve().parent.parent


def disk_reserve_mb() -> float:
    """A tenth of the disk that DATA_DIR is on, or will be; 5 GB of a large one."""
    for place in (DATA_DIR, *DATA_DIR.parents):
        try:
            total = shutil.disk_usage(place).total
        except OSError:  # not made yet, or not for this user to see
            continue
        if total:  # of /proc and its kind it is 0; that no directory can be made there is said when one is
            return min(total / 10 / 1024**2, 5 * 1024)
    return 5 * 1024


def restart_action(name: str) -> str:
    """The variable as a command that restarts a model server, or `none`."""
    value = text(name, restart.NONE)
    try:
        restart.parse(value)
    except ValueError as error:
        raise refusal(name, str(error), value) from None
    return value


# Where everything that must survive lives: videos, the embedded database, the secret key.
DATA_DIR = folder("DATA_DIR", BASE_DIR / "var")
MEDIA_ROOT = DATA_DIR / "media"
UPLOADS_DIR = DATA_DIR / "uploads"

# What `up --lab` was told at its first start
_lab = profile.read(DATA_DIR)

# Site
DEBUG = flag("DEBUG", default=False)
LAB = flag("LAB", default=False)  # `up --lab`: for the whole network, by HTTPS with certificates of its own
ALLOWED_HOSTS = hosts("ALLOWED_HOSTS", lan.LOOPBACK)
if LAB:
    ALLOWED_HOSTS = [*dict.fromkeys([*ALLOWED_HOSTS, *lan.hosts()])]
CSRF_TRUSTED_ORIGINS = origins("CSRF_TRUSTED_ORIGINS")
SCHOOL = " ".join(text("SCHOOL", _lab.school or "", longest=profile.LONGEST_SCHOOL).split())  # its name, on pages


def secret_key() -> str:
    """SECRET_KEY, or one made at the first start and kept in DATA_DIR."""
    if given := text("SECRET_KEY"):
        return given
    kept = DATA_DIR / "secret_key"
    try:
        DATA_DIR.mkdir(mode=0o711, parents=True, exist_ok=True)
        embedded.write_once(kept, secrets.token_urlsafe(48))
    except OSError:
        if not os.path.lexists(kept):
            # `doctor` and `up` must still be able to say that DATA_DIR is unusable; nothing is signed by it for long.
            return secrets.token_urlsafe(48)
    try:
        key = kept.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"the secret key in {kept} can't be read: {error}. {_key_cure}") from None
    if len(key) < _least_key:
        raise ImproperlyConfigured(f"the secret key in {kept} is too short to be one. {_key_cure}")
    return key


_least_key = 32
_key_cure = (
    "Let its owner run this, or bring the file back from a backup. Without it, remove the file: a new one is made, and"
    " everybody signs in again, with new cards"
)


SECRET_KEY = secret_key()

INSTALLED_APPS = [
    # Its `runserver` serves sockets, too. Elsewhere it would bring Twisted into every command: a fifth of their start.
    *(["daphne"] if "runserver" in sys.argv else []),
    "introeval",
    "evaluations",
    "queueing",
    "django.contrib.admin",
    "django.contrib.humanize",  # ordinals in every language
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "axes",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",  # before the one that answers with static files
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "introeval.lan.door.HttpsOnly",
    "evaluations.pages.languages.TimeZoneMiddleware",
    "evaluations.pages.languages.LanguageMiddleware",  # outside of what makes up answers in words
    "evaluations.access.passwords.LoginLimit",
    "evaluations.access.limits.ApiLimit",
    "evaluations.uploads.protocol.TusProtocol",  # outside of what makes up refusals: they carry its headers, too
    "evaluations.errors.refusals.OneShape",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "evaluations.access.origins.HiddenOrigin",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "evaluations.access.origins.RequestAtWork",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "evaluations.access.sessions.PageOwner",
    "axes.middleware.AxesMiddleware",
    "evaluations.errors.refusals.Gone",
    "evaluations.errors.refusals.RefusalPage",
]

ROOT_URLCONF = "introeval.urls"
ASGI_APPLICATION = "introeval.asgi.application"
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
            ]
        },
    }
]

# Database and broker: given ones, or the embedded ones of DATA_DIR (introeval/embedded/).
DATABASE_URL = text("DATABASE_URL") or embedded.database_url(DATA_DIR)
REDIS_URL = broker("REDIS_URL", embedded.redis_url(DATA_DIR))
DATABASE_POOL_SIZE = count("DATABASE_POOL_SIZE", 8, least=0, most=1000)
_pool = {
    "min_size": 0,
    "max_size": DATABASE_POOL_SIZE,
    "timeout": 5,  # who waits longer for a connection is told to come back (evaluations/errors/refusals.py)
    # Its tries to connect grow apart; after this one begins anew, or an outage would last twice as long for the site.
    "reconnect_timeout": 5,
}
HANG_SECONDS = positive("HANG_SECONDS", 60)  # that a site or worker may be silent under `up` before it is killed
LEASE_SECONDS = positive("LEASE_SECONDS", 30, most=86_400)
_configured = database.configuration(DATABASE_URL)
DATABASES = {
    "default": {
        **_configured,
        # Under ASGI a kept connection belongs to a thread that may never come back: a bounded pool, no persistence.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,  # the pool hands out no connection that died meanwhile
        # PgBouncer may give each transaction another session, in which a cursor of the last one does not exist.
        "DISABLE_SERVER_SIDE_CURSORS": not DATABASE_POOL_SIZE,
        "OPTIONS": {
            **_configured["OPTIONS"],
            **({"pool": _pool} if DATABASE_POOL_SIZE else {}),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "introeval"},
    }
}

# The queue
NODE = text("NODE", platform.node() or "node", longest=100)
BATCH_SIZE = count("BATCH_SIZE", 10, most=10_000)
BATCH_MAX_WAIT_SECONDS = positive("BATCH_MAX_WAIT_SECONDS", 3)
PHASE_MAX_DWELL_SECONDS = positive("PHASE_MAX_DWELL_SECONDS", 600)
IDLE_UNLOAD_SECONDS = positive("IDLE_UNLOAD_SECONDS", 60)
STOP_GRACE_SECONDS = positive("STOP_GRACE_SECONDS", 10)
HEARTBEAT_SECONDS = positive("HEARTBEAT_SECONDS", 5)
POLL_SECONDS = positive("POLL_SECONDS", 0.9)
MAX_ATTEMPTS = count("MAX_ATTEMPTS", 3)
MAX_CRASHES = count("MAX_CRASHES", 2)
HISTORY_DAYS = positive("HISTORY_DAYS", 400)
AUDIT_DAYS = count("AUDIT_DAYS", 400, least=30, most=10_000)  # least: KEPT_DAYS_AT_LEAST of the audit trail
RETRY_BACKOFF_SECONDS = positive("RETRY_BACKOFF_SECONDS", 10)
# Above it a process is begun anew, between two tasks (queueing/policy/growth.py); 0: by the model's size.
WORKER_MAX_MEMORY_BYTES = count("WORKER_MAX_MEMORY_MB", 1024, least=128) * 1024 * 1024
CHILD_MAX_MEMORY_BYTES = count("CHILD_MAX_MEMORY_MB", 0, least=0) * 1024 * 1024

GPU_WATCH = flag("GPU_WATCH", default=True)  # False: for a GPU whose driver does not report its memory

# Speech to text. STT_MODEL is a model's folder or file, or the name of one that came as a package.
STT_ENGINE = one_of("STT_ENGINE", "faster-whisper", "openai-whisper", "simulated")
STT_MODEL = text("STT_MODEL", "tiny.en" if _lab.language in (None, "en") else "base")
STT_DEVICE = one_of("STT_DEVICE", "auto", "cpu", "cuda")
STT_THREADS = count("STT_THREADS", 0, least=0, most=1024)
STT_WALL_BUDGET_SECONDS = positive("STT_WALL_BUDGET_SECONDS", 1800)
SIMULATED_SECONDS = positive("SIMULATED_SECONDS", 1)  # how long a simulated engine pretends to work

# Language models
LLM_PROTOCOL = one_of("LLM_PROTOCOL", "embedded", "ollama", "openai", "simulated")
LLM_EXTRACT_URL = address("LLM_EXTRACT_URL", "http://127.0.0.1:11434")
# Where the embedded model that can judge is looked for; `make judge` brings it (scripts/judge.py).
LLM_MODELS_DIR = folder("LLM_MODELS_DIR", models.FOLDER)
LLM_EXTRACT_MODEL = text(
    "LLM_EXTRACT_MODEL", models.best(LLM_MODELS_DIR) if LLM_PROTOCOL == "embedded" else "mistral:7b-instruct"
)
LLM_RATE_URL = address("LLM_RATE_URL", LLM_EXTRACT_URL)
LLM_RATE_MODEL = text(
    "LLM_RATE_MODEL", models.best(LLM_MODELS_DIR) if LLM_PROTOCOL == "embedded" else "llama3:8b-instruct"
)
# What the stages call a language model for: each has its own LLM_<ROLE>_URL, _MODEL and _RESTART.
LLM_ROLES = ("extract", "rate")
# How the server at each address is restarted when it does not answer any more; see queueing/worker/restart.py.
LLM_EXTRACT_RESTART = restart_action("LLM_EXTRACT_RESTART")
LLM_RATE_RESTART = restart_action("LLM_RATE_RESTART")
LLM_API_KEY = text("LLM_API_KEY")  # for servers of protocol `openai` that ask for one
LLM_SLOTS = count("LLM_SLOTS", 1 if LLM_PROTOCOL == "embedded" else 3, most=1000)
LLM_SHARES_GPU = flag("LLM_SHARES_GPU", default=LLM_PROTOCOL == "ollama")
# None: by their sizes and the card's (queueing/policy/memory_plan.py).
LLM_TOGETHER = {"auto": None, "true": True, "false": False}[one_of("LLM_TOGETHER", "auto", "true", "false")]
# With 8192 an 8B model does not fit into 85 % of 8 GB beside a desktop; 4096 hold a speech of six minutes.
LLM_CONTEXT_TOKENS = count("LLM_CONTEXT_TOKENS", 4096 if LLM_PROTOCOL == "ollama" else 8192)
LLM_DEADLINE_SECONDS = positive("LLM_DEADLINE_SECONDS", 600 if LLM_PROTOCOL == "embedded" else 180)
LLM_CAN_JUDGE = flag("LLM_CAN_JUDGE", default=(LLM_PROTOCOL, LLM_RATE_MODEL) != ("embedded", models.SMALL))

# The coach
COACH_CONCURRENT = count("COACH_CONCURRENT", 5, most=1000)
COACH_QUEUE = count("COACH_QUEUE", 1000, most=100_000)
COACH_WAITING_PER_STUDENT = count("COACH_WAITING_PER_STUDENT", 3, most=1000)
COACH_SLOTS_BESIDE_CLASS = count("COACH_SLOTS_BESIDE_CLASS", 1, most=1000)
COACH_CLASS_TASKS_PER_ANSWER = count("COACH_CLASS_TASKS_PER_ANSWER", 12, most=1000)
COACH_MAX_TOKENS = count("COACH_MAX_TOKENS", 300, most=100_000)

# Uploads
UPLOAD_MAX_BYTES = int(positive("UPLOAD_MAX_MB", 300) * 1024 * 1024)
UPLOAD_CHUNK_BYTES = 4 * 1024 * 1024
UPLOAD_EXPIRES_HOURS = positive("UPLOAD_EXPIRES_HOURS", 24, most=100_000)
UPLOADS_PER_HOUR = count("UPLOADS_PER_HOUR", 5)  # of a student, handed in
CAPACITY = count("CAPACITY", 60, most=100_000)  # submissions in line and in work; who has not begun waits above it
UPLOAD_QUOTA_BYTES = int(positive("UPLOAD_QUOTA_MB", 2048) * 1024 * 1024)  # of a student, kept and on their way
DISK_RESERVE_BYTES = int(positive("DISK_RESERVE_MB", disk_reserve_mb()) * 1024 * 1024)
RESULT_FILES = flag("RESULT_FILES", default=False)  # what came of each submission, in DATA_DIR/results
DATA_UPLOAD_MAX_MEMORY_SIZE = UPLOAD_CHUNK_BYTES + 64 * 1024  # of any body, see introeval/serving/bodies.py
# A body that is larger goes to a file on the disk, for which the loop waits, and all sockets with it.
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE

# Sessions, logins, headers
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "evaluations.access.passwords.NoPublicPassword",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = ["evaluations.access.passwords.PoliteHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "evaluations.access.passwords.NotPublic"},
    {"NAME": "evaluations.access.passwords.NotTooLong"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # a whole class shares one address
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or whoever goes on trying would lock the name for ever
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
CSRF_FAILURE_VIEW = "evaluations.access.origins.refused"
SESSION_COOKIE_AGE = 8 * 3600
SESSION_ENGINE = "evaluations.access.session_store"
SESSION_EXPIRE_AT_BROWSER_CLOSE = flag("SESSION_ENDS_WITH_BROWSER", default=True)
# After signing in; browsers that open their windows again keep a session beyond their end.
STUDENT_SESSION_MINUTES = positive("STUDENT_SESSION_MINUTES", 120, most=100_000)
CARD_DAYS = count("CARD_DAYS", 1, most=400)  # today included
API_PER_SECOND = positive("API_PER_SECOND", 10)  # requests of a session; of an address six times that
HTTPS = flag("HTTPS", default=LAB)
HTTPS_PORT = count("HTTPS_PORT", 8443, most=65_535)  # of `up --lab`
LAB_URL = lan.https_url(lan.best(), HTTPS_PORT) if LAB else ""  # follows the machine's address (lan/door.py)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-sessionid" if HTTPS else "sessionid"  # by that name no other host of a domain can set it
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS and not LAB else None
# Only where a certificate is one that every browser trusts: with the lab's own, a device that was told to keep to HTTPS
# and has lost the authority would be shut out.
HSTS_SECONDS = count("HSTS_SECONDS", 30 * 86_400, least=0, most=63_072_000)
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS and not LAB else 0
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # other sites of the school's domain are not ours to bind
    "security.W021",  # nor to be put on the browsers' lists
    *(["security.W008"] if HTTPS else []),  # plain HTTP is led to HTTPS by HttpsOnly, or by nginx
    *(["security.W004"] if LAB else []),  # see HSTS_SECONDS
]
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "media-src": [SELF, "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Alerts: how often is looked, from where on each is a warning, and critical (queueing/policy/alerts.py); who gets them
ALERT_SECONDS = positive("ALERT_SECONDS", 20)
ALERT_QUEUE_SIZE = pair("ALERT_QUEUE_SIZE", 20, 50)
ALERT_WAIT_SECONDS = pair("ALERT_WAIT_SECONDS", 900, 1800)
ALERT_LATE_SECONDS = pair("ALERT_LATE_SECONDS", 60, 120)
ALERT_ERROR_PERCENT = pair("ALERT_ERROR_PERCENT", 10, 25)
ALERT_GPU_MEMORY_PERCENT = pair("ALERT_GPU_MEMORY_PERCENT", 80, 95)
ALERT_GPU_CELSIUS = pair("ALERT_GPU_CELSIUS", 80, 90)
ALERT_DISK_FREE_PERCENT = pair("ALERT_DISK_FREE_PERCENT", 10, 3)
ALERT_CLOCK_SECONDS = pair("ALERT_CLOCK_SECONDS", 5, 60)
ALERT_DOWN_SECONDS = pair("ALERT_DOWN_SECONDS", 0, 300)
ALERT_GROWTH_MB = pair("ALERT_GROWTH_MB", 8, 64)
ALERT_BACKUP_DAYS = pair("ALERT_BACKUP_DAYS", 7, 30)
ALERT_CERTIFICATE_DAYS = pair("ALERT_CERTIFICATE_DAYS", 30, 7)
ALERT_EMAILS = addresses("ALERT_EMAILS")
NOTIFY_URLS = services("NOTIFY_URLS")
MAIL_SERVER = text("EMAIL_HOST")  # empty: none is named, and nobody is offered mail
EMAIL_HOST = MAIL_SERVER or "localhost"
EMAIL_PORT = count("EMAIL_PORT", 25, most=65_535)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = text("EMAIL_USER"), text("EMAIL_PASSWORD")
_encryption = one_of("EMAIL_ENCRYPTION", "none", "starttls", "tls")
EMAIL_USE_TLS, EMAIL_USE_SSL = _encryption == "starttls", _encryption == "tls"
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = (addresses("EMAIL_FROM") or [f"introeval@{platform.node() or 'localhost'}"])[0]

# Figures for Prometheus: with a token whoever has it may read /metrics, without one only programs on this machine
METRICS_TOKEN = text("METRICS_TOKEN")

# Words, times, files
LANGUAGE_CODE = "en"  # where a browser asks for none of these, in the admin and in the commands
LANGUAGES = [("en", "English"), ("de", "German")]  # the words are in locale/
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
USE_TZ = True
TIME_ZONE = time_zone("TIME_ZONE", _lab.time_zone or machine_zone())
SEVERAL_TIME_ZONES = flag("SEVERAL_TIME_ZONES", default=False)  # pages show times in the browser's zone instead
STATIC_URL = "static/"
_collected = folder("STATIC_ROOT", DATA_DIR / "static")
STATIC_ROOT = str(_collected) if _collected.is_dir() else None  # WhiteNoise warns of one that is missing
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "introeval.serving.static.StaticFiles", "OPTIONS": {"location": str(_collected)}},
}
STATICFILES_DIRS = (
    [("vendor", BASE_DIR / "node_modules" / ".introeval")]
    if (BASE_DIR / "node_modules" / ".introeval").is_dir()
    else []
)
WHITENOISE_USE_FINDERS = True  # what was not collected comes straight from the packages

LOGGING_CONFIG = None  # introeval/logs.py
