"""What staff say of tools and MCP servers in the console: as a tenant would by API, and refused as it would be, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from agents import tool_services
from agents.bodies import refuse_nul
from agents.models import McpServer, Tool
from agents.problems import Problem
from agents.tools.openapi_document import Imported, tools_of
from tenants.admin import OwnedForm
from tenants.references import names_in

V = TypeVar("V")

CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
"""Headers that hold secrets, which have no place in a form."""
BY_REFERENCE = "Store the secret under Secrets, and refer to it as ${secret:NAME}."
REQUEST = (
    'Such as {"method": "GET", "url": "https://api.example.com/weather/{city}", '
    '"headers": {"authorization": "Bearer ${secret:weather}"}}. '
    "Further members: query and header_arguments (lists of arguments), body (json or form). " + BY_REFERENCE
)


def refused(form: forms.ModelForm[Any], problem: Problem) -> None:
    """Say what a service refuses beside the field that it names."""
    for error in problem.errors:
        field = error.field.partition(".")[0].partition("[")[0]
        form.add_error(field if field in form.fields else None, f"{error.field}: {error.message}")
    if not problem.errors:
        form.add_error(None, problem.detail)


def check_headers(headers: Any) -> dict[str, str]:
    """Headers as an object of texts, in which credentials are references. Raises `ValidationError`."""
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ValidationError('Must be an object of texts, such as {"accept": "application/json"}.')
    for name, value in headers.items():
        if name.lower() in CREDENTIALS and not names_in([value]):
            raise ValidationError(f"The header {name!r} holds a credential in plain text. {BY_REFERENCE}")
    return without_nul(headers)


def without_nul(value: V) -> V:
    """The value, if Postgres can hold it. Raises `ValidationError`."""
    try:
        refuse_nul(value)
    except Problem as problem:
        raise ValidationError(problem.detail) from problem
    return value


class ToolForm(OwnedForm):
    """An HTTP tool; of an MCP server's only what its server does not say."""

    description = forms.CharField(
        max_length=4000, required=False, widget=UnfoldAdminTextareaWidget, help_text="What the model is told of it."
    )
    timeout_s = forms.FloatField(
        min_value=0.001,
        max_value=600,
        initial=30.0,
        widget=UnfoldAdminDecimalFieldWidget,
        label="Timeout",
        help_text="Seconds.",
    )
    request = forms.JSONField(required=True, widget=UnfoldAdminTextareaWidget, help_text=REQUEST)

    class Meta:
        model = Tool
        fields = ("tenant", "name", "description", "parameters", "request", "is_idempotent", "timeout_s")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.instance.kind = "http"
            self.initial.setdefault("parameters", {"type": "object", "properties": {}, "required": []})

    def clean_request(self) -> Any:
        """Refuse credentials in plain text; the rest is the service's to refuse."""
        request = self.cleaned_data["request"]
        if isinstance(request, Mapping):
            check_headers(request.get("headers", {}))
        return request

    def _post_clean(self) -> None:
        super()._post_clean()
        if not self.errors and self.instance.kind == "http":
            try:
                tool_services.check_http_tool(self.instance)
            except Problem as problem:
                refused(self, problem)


class OpenApiForm(OwnedForm):
    """An OpenAPI 3 document whose operations become tools."""

    document = forms.FileField(widget=UnfoldAdminFileFieldWidget, help_text="OpenAPI 3, as JSON.")
    base_url = forms.CharField(
        max_length=2000,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Empty: the document's first server.",
    )
    operations = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text="Operation ids, separated by commas. Empty: all."
    )
    headers = forms.JSONField(
        required=False,
        initial=dict,
        widget=UnfoldAdminTextareaWidget,
        help_text='Sent with each request, such as {"authorization": "Bearer ${secret:shop}"}. ' + BY_REFERENCE,
    )

    class Meta:
        model = Tool
        fields = ("tenant",)

    def clean_document(self) -> Any:
        """The document, read."""
        file, limit = self.cleaned_data["document"], settings.OPSITE_BODY_LIMIT_BYTES
        if file.size > limit:
            raise ValidationError(f"The document has {file.size} bytes; at most {limit} are read.")
        try:
            document = json.loads(file.read())
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"The document is no JSON: {error}.") from error
        return without_nul(document)

    def clean_headers(self) -> dict[str, str]:
        """None is an object without members."""
        return check_headers(self.cleaned_data["headers"] or {})

    def _post_clean(self) -> None:
        """A tool's own fields are not in this form; each tool of the document is checked in its place."""
        if self.errors:
            return
        wanted = [name.strip() for name in self.cleaned_data["operations"].split(",") if name.strip()]
        try:
            found = tools_of(self.cleaned_data["document"], base_url=self.cleaned_data["base_url"], operations=wanted)
            tool_services.check_import(
                tenant=self.cleaned_data["tenant"], tools=found, headers=self.cleaned_data["headers"]
            )
        except Problem as problem:
            refused(self, problem)
        else:
            self.found: list[Imported] = found


class McpServerForm(OwnedForm):
    """A server as a tenant would name it."""

    url = forms.URLField(max_length=2000, assume_scheme="https", widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = McpServer
        fields = ("tenant", "name", "url", "headers")

    def clean_headers(self) -> dict[str, str]:
        """Refuse credentials in plain text."""
        return check_headers(self.cleaned_data["headers"] or {})
