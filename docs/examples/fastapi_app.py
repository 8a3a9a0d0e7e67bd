"""Lookalike in a FastAPI application: an upload hook and a search.

pip install lookalike "fastapi>=0.165" uvicorn python-multipart
API_KEYS='{"key-of-company-7": 7}' uvicorn fastapi_app:app
"""

import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from producer import Client, InvalidMessage, Overloaded, QueryNotFound, QueryRejected, ServiceUnavailable

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Client]]:
    """One client for the process. It connects when it is first used."""
    async with Client.from_env() as client:
        yield {"lookalike": client}


# A larger body is answered with 413 before it is read.
app = FastAPI(lifespan=lifespan, max_body_size=8 * 1024 * 1024)


def lookalike(request: Request) -> Client:
    """The client."""
    client: Client = request.state.lookalike
    return client


def company(request: Request) -> int:
    """The tenant, from whatever says who is asking, and never from what is asked: here, a key of your own."""
    api_keys: dict[str, int] = json.loads(os.environ["API_KEYS"])
    company_id = api_keys.get(request.headers.get("x-api-key", ""))
    if company_id is None:
        raise HTTPException(401)
    return company_id


Lookalike = Annotated[Client, Depends(lookalike)]
Company = Annotated[int, Depends(company)]


class Picture(BaseModel):
    """A picture that was put into OSS."""

    object_key: str = Field(min_length=1)
    meta_id: int


@app.post("/pictures", status_code=202)
async def uploaded(picture: Picture, company_id: Company, client: Lookalike) -> dict[str, str]:
    """The hook that is called when a picture is in OSS, and your own row of it is committed."""
    if not picture.object_key.startswith(f"uploads/{company_id}/"):
        raise HTTPException(403, "the object is not yours")
    # Once this returns, the event is not lost. If it raises, send it again: a repeat does no harm.
    batch = await client.aenqueue(picture.object_key, meta_id=picture.meta_id, company_id=company_id)
    return {"batch": batch}


@app.post("/search")
async def search(image: UploadFile, company_id: Company, client: Lookalike) -> list[dict[str, Any]]:
    """The company's pictures that look like an image that is sent along."""
    found = await client.asearch(image=await image.read(), company_id=company_id, max_chance=0.01)
    return [{"meta_id": match["meta_id"], "distance": match["distance"]} for match in found["matches"]]


@app.get("/pictures/{meta_id}/similar")
async def similar(meta_id: int, company_id: Company, client: Lookalike) -> list[dict[str, Any]]:
    """The company's pictures that look like one of them."""
    found = await client.asearch(meta_id=meta_id, company_id=company_id, max_chance=0.01)
    return [{"meta_id": match["meta_id"], "distance": match["distance"]} for match in found["matches"]]


def answer_with(status: int, headers: dict[str, str] | None = None) -> Any:
    """Answer an error with a status."""

    async def handle(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status, headers)

    return handle


async def unavailable(_: Request, error: Exception) -> JSONResponse:
    """What failed names addresses: it is for your log, not for who asked."""
    logger.warning("lookalike: %s", error)
    return JSONResponse({"error": "try again later"}, 503, {"Retry-After": "10"})


app.add_exception_handler(QueryNotFound, answer_with(404))
app.add_exception_handler(QueryRejected, answer_with(422))
app.add_exception_handler(InvalidMessage, answer_with(422))
app.add_exception_handler(Overloaded, unavailable)
app.add_exception_handler(ServiceUnavailable, unavailable)
