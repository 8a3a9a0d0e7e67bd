"""The endpoint, described in OpenAPI 3.1."""

from importlib.metadata import version
from typing import Any, Final

_ANSWER: Final = {
    "type": "object",
    "properties": {
        "form": {"enum": ["events", "smq", "eventbridge", "callback"]},
        "accepted": {"type": "integer", "minimum": 0},
        "ignored": {"type": "integer", "minimum": 0},
        "malformed": {"type": "integer", "minimum": 0},
        "error": {"type": "string"},
    },
    "required": ["form", "accepted", "ignored", "malformed"],
}
_ERROR: Final = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_RECORD: Final = {
    "type": "object",
    "properties": {
        "eventName": {"type": "string", "examples": ["ObjectCreated:PutObject", "ObjectRemoved:DeleteObject"]},
        "oss": {
            "type": "object",
            "properties": {
                "bucket": {"type": "object", "properties": {"name": {"type": "string"}}},
                "object": {
                    "type": "object",
                    "properties": {
                        "key": {"type": "string"},
                        "size": {"type": "integer"},
                        "objectMeta": {"type": "object", "properties": {"userMeta": {"type": "object"}}},
                    },
                    "required": ["key"],
                },
            },
            "required": ["object"],
        },
        "xVars": {"type": "object"},
    },
    "required": ["eventName", "oss"],
}
_EVENTS: Final = {
    "anyOf": [
        {"type": "object", "properties": {"events": {"type": "array", "items": _RECORD}}, "required": ["events"]},
        {
            "type": "object",
            "properties": {"specversion": {"type": "string"}, "type": {"type": "string"}, "data": _RECORD},
            "required": ["specversion", "data"],
        },
        {"type": "object", "properties": {"Message": {"type": "string"}}, "required": ["Message"]},
        _RECORD,
    ]
}
_CALLBACK: Final = {
    "type": "object",
    "properties": {
        name: {"type": "string"} for name in ("bucket", "object", "filename", "company_id", "meta_id", "etag")
    },
}


def _answers(good: dict[str, Any]) -> dict[str, Any]:
    def of(schema: dict[str, Any], means: str) -> dict[str, Any]:
        return {"description": means, "content": {"application/json": {"schema": schema}}}

    return {
        "200": of(good, "All events are accepted: they are in the ledger."),
        "400": of(_ERROR, "Something cannot be read. What could be is accepted."),
        "401": of(_ERROR, "The sender has not shown that it may."),
        "413": of(_ERROR, "The body is too large."),
        "500": of(_ERROR, "An error of the listener's own."),
        "503": of(_ERROR, "Nothing can be accepted now, or not in time. Send it again."),
    }


def _post(summary: str, content: dict[str, Any], security: list[dict[str, list[str]]]) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "security": security,
            "requestBody": {"required": True, "content": content},
            "responses": _answers(_ANSWER),
        }
    }


def document() -> dict[str, Any]:
    """Describe the endpoint."""
    text = {"schema": {"type": "string"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "lookalike listen", "version": version("lookalike")},
        "paths": {
            "/events": _post(
                "Take notifications of OSS, in any form that Aliyun delivers them in.",
                {"application/json": {"schema": _EVENTS}, "text/plain": text, "text/xml": text},
                [{"bearer": []}, {"token": []}, {"hmac": []}],
            ),
            "/callback": _post(
                "Take the callback that OSS makes when an object was put.",
                {
                    "application/x-www-form-urlencoded": {"schema": _CALLBACK},
                    "application/json": {"schema": _CALLBACK},
                },
                [{"token": [], "signature": []}],
            ),
            "/healthz": {
                "get": {
                    "summary": "Say whether events can be accepted.",
                    "responses": _answers({"type": "object", "properties": {"status": {"const": "ok"}}}),
                }
            },
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
                "hmac": {"type": "apiKey", "in": "header", "name": "X-Lookalike-Signature"},
                "signature": {"type": "apiKey", "in": "header", "name": "Authorization"},
            }
        },
    }
