"""Files and batches in the OpenAPI document: their routes are not Django's, so their operations are written here."""

from __future__ import annotations

from typing import Any

import msgspec

from agents.api.openapi.forms import Schema, ref
from agents.api.openapi.operations import ALWAYS, JSON, REFUSALS, SECURITY
from batches.endpoints import ENDPOINTS
from batches.faces.batches import BatchRequest
from batches.faces.files import PURPOSES
from batches.lifecycle import BatchState

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MOMENT: Schema = {"type": ["integer", "null"], "description": "Seconds since 1970."}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_AFTER = {"name": "after", "in": "query", "description": "The last id of the page before.", "schema": _TEXT}
_ORDER = {"name": "order", "in": "query", "schema": {"enum": ["asc", "desc"], "default": "desc"}}
_PURPOSE = {"name": "purpose", "in": "query", "schema": {"enum": list(PURPOSES)}}


def _limit(default: int, most: int) -> dict[str, Any]:
    return {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": most, "default": default},
    }


def _operation(name: str, summary: str, answer: str | Schema, *refused: int, **more: Any) -> dict[str, Any]:
    """Refusals are in OpenAI's form. `answer`: a component's name, or what stands under `content`."""
    content = {JSON: {"schema": ref(answer)}} if isinstance(answer, str) else answer
    error = {JSON: {"schema": ref("OpenAIError")}}
    wait = {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}}
    responses: dict[str, Any] = {"200": {"description": summary, "content": content}}
    for status in sorted({*ALWAYS, *refused}):
        responses[str(status)] = {
            "description": REFUSALS[status],
            **(wait if status in (429, 503) else {}),
            "content": error,
        }
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["openai"],
        "security": SECURITY,
        "responses": responses,
        **more,
    }


def _body(kind: str, schema: str) -> dict[str, Any]:
    return {"required": True, "content": {kind: {"schema": ref(schema)}}}


PATHS: dict[str, Any] = {
    "/v1/files": {
        "post": _operation(
            "upload_a_file",
            "Upload a file",
            "File",
            400,
            409,
            413,
            requestBody=_body("multipart/form-data", "FileUpload"),
        ),
        "get": _operation(
            "list_files", "List files", "FileList", 400, parameters=[_AFTER, _limit(10_000, 10_000), _ORDER, _PURPOSE]
        ),
    },
    "/v1/files/{id}": {
        "get": _operation("get_a_file", "Get a file", "File", 404, parameters=[_ID]),
        "delete": _operation("delete_a_file", "Delete a file", "FileDeleted", 404, 409, parameters=[_ID]),
    },
    "/v1/files/{id}/content": {
        "get": _operation(
            "get_a_file_s_content",
            "Get a file's content",
            {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            404,
            parameters=[_ID],
        )
    },
    "/v1/batches": {
        "post": _operation(
            "create_a_batch", "Create a batch", "Batch", 400, 413, 429, requestBody=_body(JSON, "BatchRequest")
        ),
        "get": _operation("list_batches", "List batches", "BatchList", 400, parameters=[_AFTER, _limit(20, 100)]),
    },
    "/v1/batches/{id}": {"get": _operation("get_a_batch", "Get a batch", "Batch", 404, parameters=[_ID])},
    "/v1/batches/{id}/cancel": {
        "post": _operation("cancel_a_batch", "Cancel a batch", "Batch", 404, 409, parameters=[_ID])
    },
}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(of: str) -> Schema:
    return _object(
        object={"const": "list"},
        data={"type": "array", "items": ref(of)},
        first_id=_MAYBE_TEXT,
        last_id=_MAYBE_TEXT,
        has_more={"type": "boolean"},
    )


_COMPONENTS: dict[str, Schema] = {
    "File": _object(
        id=_TEXT,
        object={"const": "file"},
        bytes=_COUNT,
        created_at=_COUNT,
        expires_at=_MOMENT,
        filename=_TEXT,
        purpose={"enum": list(PURPOSES)},
        status={"const": "processed"},
        status_details={"type": "null"},
    ),
    "FileUpload": {
        "type": "object",
        "required": ["file", "purpose"],
        "additionalProperties": False,
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "JSON lines, in UTF-8."},
            "purpose": {"const": "batch"},
            "expires_after[anchor]": {"const": "created_at"},
            "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
        },
    },
    "FileDeleted": _object(id=_TEXT, object={"const": "file"}, deleted={"const": True}),
    "FileList": _list("File"),
    "Batch": _object(
        id=_TEXT,
        object={"const": "batch"},
        endpoint=_TEXT,
        errors={
            "anyOf": [
                _object(
                    object={"const": "list"},
                    data={
                        "type": "array",
                        "items": _object(
                            code=_TEXT, message=_TEXT, param=_MAYBE_TEXT, line={"type": ["integer", "null"]}
                        ),
                    },
                ),
                {"type": "null"},
            ]
        },
        input_file_id=_TEXT,
        completion_window={"const": "24h"},
        status={"enum": [state.value for state in BatchState]},
        output_file_id=_MAYBE_TEXT,
        error_file_id=_MAYBE_TEXT,
        created_at=_COUNT,
        **{
            f"{name}_at": _MOMENT
            for name in (
                "in_progress", "expires", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled",
            )
        },
        request_counts=_object(total=_COUNT, completed=_COUNT, failed=_COUNT),
        metadata={"type": ["object", "null"], "additionalProperties": _TEXT},
    ),
    "BatchList": _list("Batch"),
}  # fmt: skip


def add_routes(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's post-processing hook."""
    result["paths"].update(PATHS)
    _, made = msgspec.json.schema_components([BatchRequest], ref_template="#/components/schemas/{name}")
    made["BatchRequest"]["properties"]["endpoint"] = {"enum": list(ENDPOINTS)}
    made["BatchRequest"]["properties"]["metadata"]["description"] = "Up to 16 pairs; names have up to 64 characters."
    result["components"]["schemas"].update({**_COMPONENTS, **made})
    return result
