"""Lookalike in a Flask application: an upload hook and a search.

pip install lookalike flask gunicorn
API_KEYS='{"key-of-company-7": 7}' gunicorn --workers 4 --threads 8 flask_app:app
"""

import json
import os
from typing import Any

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

from producer import Client, InvalidMessage, Overloaded, QueryNotFound, QueryRejected, ServiceUnavailable

app = Flask(__name__)
# A larger body is answered with 413 before it is read.
app.config["MAX_CONTENT_LENGTH"] = 8 * 1024 * 1024

# One client for all threads. It connects when it is first used, and a process that forks has its own.
lookalike = Client.from_env()


def company() -> int:
    """The tenant, from whatever says who is asking, and never from what is asked: here, a key of your own."""
    api_keys: dict[str, int] = json.loads(os.environ["API_KEYS"])
    company_id = api_keys.get(request.headers.get("X-Api-Key", ""))
    if company_id is None:
        abort(401)
    return company_id


@app.post("/pictures")
def uploaded() -> ResponseReturnValue:
    """The hook that is called when a picture is in OSS, and your own row of it is committed."""
    company_id = company()
    picture = request.get_json()
    if not isinstance(picture, dict) or not isinstance(picture.get("object_key"), str) or "meta_id" not in picture:
        abort(422)
    if not picture["object_key"].startswith(f"uploads/{company_id}/"):
        abort(403)
    # Once this returns, the event is not lost. If it raises, send it again: a repeat does no harm.
    batch = lookalike.enqueue(picture["object_key"], meta_id=picture["meta_id"], company_id=company_id)
    return {"batch": batch}, 202


@app.post("/search")
def search() -> ResponseReturnValue:
    """The company's pictures that look like an image that is sent along."""
    company_id = company()
    if "image" not in request.files:
        abort(422)
    return matches(image=request.files["image"].read(), company_id=company_id)


@app.get("/pictures/<int(signed=True):meta_id>/similar")
def similar(meta_id: int) -> ResponseReturnValue:
    """The company's pictures that look like one of them."""
    return matches(meta_id=meta_id, company_id=company())


def matches(**query: Any) -> ResponseReturnValue:
    """Search, and say what an application needs to know."""
    found = lookalike.search(**query, max_chance=0.01)
    return [{"meta_id": match["meta_id"], "distance": match["distance"]} for match in found["matches"]]


@app.errorhandler(QueryNotFound)
def not_found(error: QueryNotFound) -> ResponseReturnValue:
    """There is no such picture."""
    return {"error": str(error)}, 404


@app.errorhandler(QueryRejected)
@app.errorhandler(InvalidMessage)
def rejected(error: Exception) -> ResponseReturnValue:
    """It is no image, or a field does not fit."""
    return {"error": str(error)}, 422


@app.errorhandler(Overloaded)
@app.errorhandler(ServiceUnavailable)
def unavailable(error: Exception) -> ResponseReturnValue:
    """What failed names addresses: it is for your log, not for who asked."""
    app.logger.warning("lookalike: %s", error)
    return {"error": "try again later"}, 503, {"Retry-After": "10"}
