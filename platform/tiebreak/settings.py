"""Django's settings. Everything that differs between machines comes from the environment, read once by env.py."""

from pathlib import Path
from typing import Any, Final

import django_stubs_ext
from csp.constants import NONE, SELF

from tiebreak import __version__
from tiebreak import celery as celery  # whoever sets up Django has the application that shared tasks are sent by
from tiebreak import env as environment

django_stubs_ext.monkeypatch()

ENV: Final = environment.load()
VERSION: Final = __version__

BASE_DIR: Final = Path(__file__).resolve().parents[2]
SECRET_KEY = ENV.secret_key
DEBUG = ENV.debug
ALLOWED_HOSTS = ENV.allowed_hosts
CSRF_TRUSTED_ORIGINS = ENV.csrf_origins

INSTALLED_APPS = [
    "tiebreak.core",
    "tiebreak.accounts",
    "tiebreak.runs",
    "tiebreak.api",
    "annotate",
    "curation",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django_htmx",
    "heroicons",
    "axes",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tiebreak.accounts.language.ChosenLanguage",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "tiebreak.core.middleware.SignedOutMiddleware",
    "tiebreak.core.middleware.DomainErrorMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "tiebreak.urls"
WSGI_APPLICATION = "tiebreak.wsgi.application"
ASGI_APPLICATION = "tiebreak.asgi.application"

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
                "tiebreak.accounts.context.shell",
                "annotate.context.inbox",
            ],
            "builtins": ["django_htmx.templatetags.django_htmx", "heroicons.templatetags.heroicons"],
        },
    }
]

# PostgreSQL and Redis, always. Without URLs the embedded ones start by themselves (tiebreak.embedded).
DATABASES = ENV.databases
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "tiebreak.core.cache.ForgivingRedisCache", "LOCATION": ENV.redis_url}}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_VERBOSE = False

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ar", "العربية"), ("ja", "日本語")]
LOCALE_PATHS = [Path(__file__).resolve().parent / "locale"]
FORMAT_MODULE_PATH = ["tiebreak.formats"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [Path(__file__).resolve().parent / "static"]
STATIC_ROOT = ENV.data_dir / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # whitenoise warns of a missing one at every start
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": ENV.storage_dir}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
ROWS_PER_FILE = 1_000_000  # of a dataset version; fixed, since the same recipe gives the same files anywhere
WHITENOISE_USE_FINDERS = True  # `up` and `demo` serve a checkout without a build step

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENV.https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENV.https else None
SECURE_HSTS_SECONDS = 31_536_000 if ENV.https else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# One row of Tiebreak may hold a whole conversation; a request holds a page of rows, never a whole set.
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024

CELERY_BROKER_URL = ENV.broker_url
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "socket_connect_timeout": 3}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "runs that lost their worker": {"task": "runs.reap", "schedule": 15.0},
    "assignments whose lease ran out": {"task": "annotate.reap", "schedule": 20.0},
    "projects that route by themselves": {"task": "curation.reroute", "schedule": 10.0, "options": {"expires": 30}},
    "consensus that judgements have overtaken": {
        "task": "curation.follow",
        "schedule": 2.0,
        "options": {"expires": 10},  # a round that no worker had time for is made up by the next
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tiebreak.api.authentication.TokenAuthentication",
        "tiebreak.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tiebreak.api.permissions.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["tiebreak.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "tiebreak.api.pagination.ById",
    "DEFAULT_SCHEMA_CLASS": "tiebreak.api.schema.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["tiebreak.api.throttles.PerToken"],
    "DEFAULT_THROTTLE_RATES": {"token": "1200/min"},
    "EXCEPTION_HANDLER": "tiebreak.api.problems.handler",
    "URL_FORMAT_OVERRIDE": None,  # `?format=` names an export format here
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tiebreak",
    "DESCRIPTION": "Human-preference data: import, compare, aggregate, export, train.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "CriterionKind": "annotate.models.rubrics.Criterion.Kind",
        "FlagKind": "annotate.models.reviews.Flag.Kind",
        "RaterKind": "annotate.models.raters.Rater.Kind",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "tiebreak": {"level": "INFO"},
        "axes": {"level": "ERROR"},
        "django.request": {"level": "ERROR"},
    },
}
