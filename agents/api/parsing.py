"""JSON bodies for Django REST framework, as strict as the hot routes': bounded, no NaN, no broken characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import msgspec
from django.conf import settings
from rest_framework.parsers import BaseParser

from agents.bodies import NUL, not_json, refuse_nul
from agents.problems import too_large


class StrictJSONParser(BaseParser):
    """`application/json`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The decoded body, or the problem that refuses it."""
        limit: int = settings.OPSITE_BODY_LIMIT_BYTES
        body: bytes = stream.read(limit + 1)
        if len(body) > limit:
            raise too_large(limit)
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_json(error) from error
        if NUL in body:
            refuse_nul(decoded)
        return decoded
