"""What is served here, for `agents.faces.app.Faces`."""

from __future__ import annotations

from agents.faces.app import Handler
from batches.faces import batches, files

ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", "/v1/files", files.upload),
    ("GET", "/v1/files", files.list_files),
    ("GET", "/v1/files/{id}", files.get_file),
    ("DELETE", "/v1/files/{id}", files.delete_file),
    ("GET", "/v1/files/{id}/content", files.get_content),
    ("POST", "/v1/batches", batches.create),
    ("GET", "/v1/batches", batches.list_batches),
    ("GET", "/v1/batches/{id}", batches.get_batch),
    ("POST", "/v1/batches/{id}/cancel", batches.cancel),
]
