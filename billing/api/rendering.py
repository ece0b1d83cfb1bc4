"""JSON or CSV, as the caller asks: by `?format=`, else by `Accept`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from agents.problems import bad_field


class Table(Response):
    """An answer whose `rows` may be written as lines: in which order of columns, the renderer learns here."""

    def __init__(self, data: Any, columns: list[str]) -> None:
        super().__init__(data)
        self.columns = columns


class RowsAsCsv(BaseRenderer):
    """The member `rows` of an answer, a line for each, under the names of its fields. A refusal stays a problem document."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> Any:
        response = (renderer_context or {}).get("response")
        if not isinstance(response, Table):
            return JSONRenderer().render(data)
        text = io.StringIO()
        writer = csv.DictWriter(text, response.columns, lineterminator="\r\n")  # as RFC 4180 has it
        writer.writeheader()
        writer.writerows(data["rows"])
        return text.getvalue().encode()


class ByQueryOrAccept(DefaultContentNegotiation):
    """An unknown format is refused by the field's name, not by a 404."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        asked = request.query_params.get("format")
        known = {renderer.format: renderer for renderer in renderers}
        if asked is not None and asked not in known:
            raise bad_field("format", f"must be one of {', '.join(known)}")
        if asked is not None:
            return known[asked], known[asked].media_type
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen
