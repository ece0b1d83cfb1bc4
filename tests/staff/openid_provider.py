"""A small OpenID provider on 127.0.0.1: discovery, authorization with PKCE, tokens, keys, userinfo. It knows one person."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "opsite", "between the two of us"


@dataclass
class Provider:
    """`person` is who is asked for consent; what she agrees to is said of her."""

    url: str = ""
    person: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Code → the authorization request that it answers."""

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, dict(parse_qsl(urlsplit(self.path).query)))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                provider.answer(self, dict(parse_qsl(body)))

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """How a web process is told of it."""
        return {
            "OPSITE_OIDC_ISSUER": self.url,
            "OPSITE_OIDC_NAME": "Example ID",
            "OPSITE_OIDC_CLIENT_ID": CLIENT_ID,
            "OPSITE_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        }

    def answer(self, call: BaseHTTPRequestHandler, said: dict[str, str]) -> None:
        path = urlsplit(call.path).path
        if path == "/authorize":
            self._ask(call, said)
        elif path == "/consent":
            self._redirect(call, said)
        else:
            routes = {
                "/.well-known/openid-configuration": self._discovery,
                "/jwks": self._keys,
                "/token": lambda: self._token(said),
                "/userinfo": lambda: self.person,
            }
            self._send(call, json.dumps(routes[path]()), "application/json")

    def _discovery(self) -> dict[str, Any]:
        pages = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo"}
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{name: f"{self.url}/{page}" for name, page in pages.items()},
        }

    def _keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": "1", "alg": "RS256", "use": "sig"}]}

    def _ask(self, call: BaseHTTPRequestHandler, said: dict[str, str]) -> None:
        code = secrets.token_urlsafe(16)
        self.codes[code] = said
        page = (
            f'<!doctype html><html lang="en"><head><title>Example ID</title><link rel="icon" href="data:,"></head><body><h1>'
            f"Example ID</h1><p>{self.person['name']}</p><a href='/consent?code={code}'>Continue</a></body></html>"
        )
        self._send(call, page, "text/html")

    def _redirect(self, call: BaseHTTPRequestHandler, said: dict[str, str]) -> None:
        asked = self.codes[said["code"]]
        call.send_response(302)
        call.send_header("location", f"{asked['redirect_uri']}?{urlencode({**said, 'state': asked['state']})}")
        call.end_headers()

    def _token(self, said: dict[str, str]) -> dict[str, Any]:
        asked = self.codes.pop(said["code"])
        digest = hashlib.sha256(said["code_verifier"].encode()).digest()
        assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
        assert (said["client_id"], said["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
        now = int(time.time())
        claims = {**self.person, "iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300}
        token = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "1"})
        return {"access_token": "for userinfo", "token_type": "Bearer", "id_token": token}

    @staticmethod
    def _send(call: BaseHTTPRequestHandler, body: str, kind: str) -> None:
        call.send_response(200)
        call.send_header("content-type", f"{kind}; charset=utf-8")
        call.end_headers()
        call.wfile.write(body.encode())
