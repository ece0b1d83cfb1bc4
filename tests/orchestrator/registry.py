"""A container registry and a model hub on this host, as small as Docker's and Hugging Face's real clients allow.

Both hold back half of a large file until they are told to go on, so that a test sees what is said meanwhile.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MISSING = b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'
LARGE = 1 << 20
"""A body of so many bytes is held back at its half."""
PATIENCE_S = 120.0


class Shelf:
    """What a server gives out: the bodies by path, with their headers. What is large waits for `go_on`."""

    def __init__(self) -> None:
        self.bodies: dict[str, tuple[bytes, Mapping[str, str]]] = {}
        self.asked: list[str] = []
        self.refusals: dict[str, tuple[int, str]] = {}
        """Status and the hub's error code, by path; of what is not here 404 and that there is no such model."""
        self.token = ""
        """Whoever does not show it is refused all; empty: nobody is."""
        self.go_on = threading.Event()
        self.address = ""

    def put(self, path: str, body: bytes, **headers: str) -> None:
        self.bodies[path] = (body, {name.replace("_", "-"): value for name, value in headers.items()})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shelf = shelf

    def handle_error(self, *args: object) -> None:
        """A client that was killed has hung up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        body, first = self._answer()
        shelf, last = self.server.shelf, len(body)
        half = last // 2 if last >= LARGE and first < last // 2 else last
        self.wfile.write(body[first:half])
        self.wfile.flush()
        if half < last and shelf.go_on.wait(PATIENCE_S):
            self.wfile.write(body[half:])

    def log_message(self, *args: object) -> None: ...

    def _answer(self) -> tuple[bytes, int]:
        """Send the head of the answer: what follows it, and from where on."""
        path, shelf = self.path.partition("?")[0], self.server.shelf
        shelf.asked.append(path)
        code, said = shelf.refusals.get(path, (404, "RepoNotFound"))
        bodies = shelf.bodies
        if shelf.token and self.headers.get("Authorization") != f"Bearer {shelf.token}":
            code, said, bodies = 403, "GatedRepo", {}
        body, headers = bodies.get(path, (MISSING, {"X-Error-Code": said}))
        wanted = self.headers.get("Range", "")
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted.startswith("bytes=") else 0
        self.send_response(code if path not in bodies else 206 if first else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        return body, first


@contextmanager
def served(shelf: Shelf) -> Iterator[Shelf]:
    """The shelf over HTTP on 127.0.0.1, whose registries Docker takes without TLS."""
    server = _Server(shelf)
    shelf.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="shelf", daemon=True)
    thread.start()
    try:
        yield shelf
    finally:
        shelf.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def hold_image(shelf: Shelf, name: str, saved: bytes) -> None:
    """Put an image into a registry: a `docker save` of it, with its layers compressed as registries have them."""
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:

        def member(path: str) -> bytes:
            found = tar.extractfile(path)
            assert found is not None
            return found.read()

        (image,) = json.loads(member("manifest.json"))
        config = member(image["Config"])
        layers = [gzip.compress(member(path), 1) for path in image["Layers"]]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _blob(shelf, name, config, "application/vnd.docker.container.image.v1+json"),
            "layers": [_blob(shelf, name, layer, f"{LAYER}.gzip") for layer in layers],
        }
    ).encode()
    shelf.put("/v2/", b"{}")
    for reference in ("latest", _digest(manifest)):
        path = f"/v2/{name}/manifests/{reference}"
        shelf.put(path, manifest, Content_Type=MANIFEST, Docker_Content_Digest=_digest(manifest))


MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def _blob(shelf: Shelf, name: str, body: bytes, kind: str) -> dict[str, object]:
    shelf.put(f"/v2/{name}/blobs/{_digest(body)}", body, Content_Type="application/octet-stream")
    return {"mediaType": kind, "size": len(body), "digest": _digest(body)}


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def hold_model(shelf: Shelf, model: str, folder: Path, extra: Mapping[str, bytes] | None = None) -> str:
    """Put a model's folder into a hub, with further files; returns its commit."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()} | dict(extra or {})
    names = {name: hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest() for name, body in files.items()}
    commit = hashlib.sha1(json.dumps(names).encode()).hexdigest()
    info = {"id": model, "sha": commit, "siblings": [{"rfilename": name} for name in files], "tags": []}
    for revision in ("main", commit):
        shelf.put(
            f"/api/models/{model}/revision/{revision}", json.dumps(info).encode(), Content_Type="application/json"
        )
    tree = [{"type": "file", "path": name, "size": len(body), "oid": names[name]} for name, body in files.items()]
    shelf.put(f"/api/models/{model}/tree/{commit}", json.dumps(tree).encode(), Content_Type="application/json")
    for name, body in files.items():
        headers = {"ETag": f'"{names[name]}"', "X_Repo_Commit": commit, "Accept_Ranges": "bytes"}
        shelf.put(f"/{model}/resolve/{commit}/{name}", body, **headers)
    return commit
