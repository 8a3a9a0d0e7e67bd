"""Lookalike in a Django application, here in one file: an upload hook and a search.

pip install lookalike django gunicorn
API_KEYS='{"key-of-company-7": 7}' gunicorn --workers 4 --threads 8 django_app:application
"""

import json
import logging
import os
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from producer import Client, InvalidMessage, Overloaded, QueryNotFound, QueryRejected, ServiceUnavailable

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost", "testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MIDDLEWARE=[f"{__name__}.bounded_bodies", f"{__name__}.lookalike_errors"],
)

# One client for all threads. It connects when it is first used, and a process that forks has its own.
lookalike = Client.from_env()

MAX_BODY_BYTES = 8 * 1024 * 1024
logger = logging.getLogger(__name__)


class Refused(Exception):
    """A request is answered with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def company(request: HttpRequest) -> int:
    """The tenant, from whatever says who is asking, and never from what is asked: here, a key of your own."""
    api_keys: dict[str, int] = json.loads(os.environ["API_KEYS"])
    company_id = api_keys.get(request.headers.get("X-Api-Key", ""))
    if company_id is None:
        raise Refused(401)
    return company_id


@csrf_exempt
@require_POST
def uploaded(request: HttpRequest) -> HttpResponse:
    """The hook that is called when a picture is in OSS."""
    company_id = company(request)
    try:
        picture = json.loads(request.body)
        key, meta_id = picture["object_key"], picture["meta_id"]
    except (ValueError, TypeError, KeyError):
        raise Refused(422) from None
    if not isinstance(key, str) or not key.startswith(f"uploads/{company_id}/"):
        raise Refused(403)
    with transaction.atomic():
        # Your own row of the picture is saved here. It is enqueued when that is committed, and not if it is rolled
        # back. Once `enqueue` returns, the event is not lost. If it raises, the answer is 503 and the hook is called
        # again: a repeat does no harm, neither to your row nor to ours.
        transaction.on_commit(lambda: lookalike.enqueue(key, meta_id=meta_id, company_id=company_id))
    return JsonResponse({"object_key": key}, status=202)


@csrf_exempt
@require_POST
def search(request: HttpRequest) -> HttpResponse:
    """The company's pictures that look like an image that is sent along."""
    company_id = company(request)
    image = request.FILES.get("image")
    if image is None:
        raise Refused(422)
    return matches(image=image.read(), company_id=company_id)


@require_GET
def similar(request: HttpRequest, meta_id: int) -> HttpResponse:
    """The company's pictures that look like one of them."""
    return matches(meta_id=meta_id, company_id=company(request))


def matches(**query: Any) -> HttpResponse:
    """Search, and say what an application needs to know."""
    found = lookalike.search(**query, max_chance=0.01)
    told = [{"meta_id": match["meta_id"], "distance": match["distance"]} for match in found["matches"]]
    return JsonResponse(told, safe=False)


class bounded_bodies:  # noqa: N801 - named as Django's middleware is
    """Refuses bodies that are too large, before anything reads them: Django bounds forms, but not their files."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass a request on. One that does not tell its length has no body for Django."""
        length = request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            return HttpResponse(status=413)
        return self.get_response(request)


class lookalike_errors:  # noqa: N801 - named as Django's middleware is
    """Makes answers of errors."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass a request on."""
        return self.get_response(request)

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer what is known. What failed outside names addresses: it is for your log, not for who asked."""
        match error:
            case Refused():
                return HttpResponse(status=error.status)
            case QueryNotFound():
                return JsonResponse({"error": str(error)}, status=404)
            case QueryRejected() | InvalidMessage():
                return JsonResponse({"error": str(error)}, status=422)
            case Overloaded() | ServiceUnavailable():
                logger.warning("lookalike: %s", error)
                return JsonResponse({"error": "try again later"}, status=503, headers={"Retry-After": "10"})
            case _:
                return None


urlpatterns = [
    path("pictures", uploaded),
    path("search", search),
    path("pictures/<int:meta_id>/similar", similar),
]
application = get_wsgi_application()
