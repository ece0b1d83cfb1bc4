"""What nobody types, in every address of the console that takes a query, and in every form: refused in words, never a 500."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db import transaction
from django.test import Client
from django.urls import reverse

from staff.list_models import SavedFilter
from tests.conformance.belongings import Belongings
from tests.console.everything import Everything
from tests.console.walking import Way, ways
from tests.staff.members import at_the_console

pytestmark = pytest.mark.django_db
ODD = {
    "long": "x" * 5000,
    "large": "9" * 40,
    "negative": "-1",
    "fraction": "1e999",
    "foreign": "٣\u202eé😀",
    "no UTF-8": b"\xed\xa0\x80\xff",
    "JSON": '{"a": [1]}',
}
OF_LISTS = ("q", "o", "p", "e", "all", "after", "before")
OF_PAGES = ("page", "s", "term", "span", "decision", "task", "tenant", "agent", "revision", "range", "q")
ANSWERED = {200, 204, 302, 400, 403, 404, 405, 409, 422}


@pytest.fixture(scope="module")
def everything(django_db_setup: None, django_db_blocker: Any) -> Iterator[Everything]:
    with django_db_blocker.unblock(), transaction.atomic():
        yield Everything.make()
        transaction.set_rollback(True)


@pytest.fixture
def client() -> Client:
    found = at_the_console("operator")
    found.raise_request_exception = False
    return found


def looked_at(everything: Everything, own: Belongings) -> Iterator[Way]:
    for way in ways(everything, own):
        if not way.name.endswith(("_delete", "playground_events")):  # the latter is a stream
            yield way


def parameters_of(way: Way) -> set[str]:
    """Names that stand in its query already, those of a list's filters, and those that a page may take."""
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.label_lower.replace('.', '_')}"
        if way.name == f"{name}_changelist":
            declared = [one[0] if isinstance(one, (tuple, list)) else one for one in page.list_filter]
            names = {one if isinstance(one, str) else one.parameter_name for one in declared}
            return {f"{name}{end}" for name in names for end in ("", "__id__exact", "__since")} | {*OF_LISTS}
        if way.name == f"{name}_add":
            return {"_to_field", "_changelist_filters", "tenant"}
        if way.name.startswith(f"{name}_"):
            return {"_changelist_filters"}
    return {part.partition("=")[0] for part in way.url.partition("?")[2].split("&")} - {""} | {*OF_PAGES}


def test_a_nul_is_refused_in_words_wherever_it_stands(everything: Everything, client: Client) -> None:
    for way in looked_at(everything, everything.ann):
        path = way.url.partition("?")[0]
        for answer in (
            client.get(f"{path}?q=a%00b"),
            client.get(f"{path}?a%00b=1"),
            client.post(path, {"name": "a\x00b"}),
        ):
            assert answer.status_code == 400, way
            assert "NUL character" in answer.content.decode(), way
    for path in ("/console/login/?next=%00", "/console/second-factor/?a=%00"):
        assert Client().get(path).status_code == 400
    assert client.get("/console/pools/a%00b/").status_code == 404
    assert client.get("/console/orchestrator/pool/a%00b/change/").status_code == 404


def test_no_query_is_a_500(everything: Everything, client: Client) -> None:
    kinds, failed = cycle(sorted(ODD)), []
    for way in looked_at(everything, everything.ann):
        path = way.url.partition("?")[0]
        for name, kind in zip(sorted(parameters_of(way)), kinds, strict=False):
            answer = client.get(f"{path}?{name}={quote(ODD[kind])}")
            if answer.status_code not in ANSWERED:
                failed.append((path, name, kind, answer.status_code))
    assert not failed


@pytest.mark.parametrize("kind", ["JSON", "foreign", "large", "long"])
def test_no_form_is_a_500(everything: Everything, client: Client, kind: str) -> None:
    odd, failed = ODD[kind], []
    value = odd.decode(errors="replace") if isinstance(odd, bytes) else odd
    for model in admin.site._registry:
        name = f"admin:{model._meta.label_lower.replace('.', '_')}"
        for url in (reverse(f"{name}_add"), reverse(f"{name}_change", args=[value.replace("/", "") or "x"])):
            page = client.get(url)
            form = page.context_data.get("adminform") if page.status_code == 200 else None  # type: ignore[attr-defined]
            if page.status_code not in ANSWERED:
                failed.append((url, page.status_code))
            if form is None:
                continue
            filled = dict.fromkeys(form.form.fields, value)
            for inline in page.context_data["inline_admin_formsets"]:  # type: ignore[attr-defined]
                filled |= {f"{inline.formset.prefix}-{end}": "0" for end in ("TOTAL_FORMS", "INITIAL_FORMS")}
            with transaction.atomic():
                answer = client.post(url, filled)
                transaction.set_rollback(True)
            if answer.status_code not in ANSWERED:
                failed.append((url, answer.status_code))
        selected = client.post(
            reverse(f"{name}_changelist"), {"action": "delete_selected", "_selected_action": [value]}
        )
        exported = client.post(reverse(f"{name}_export"), {"format": value})
        dropped = client.post(reverse(f"{name}_save_filter"), {"name": value, "query": value})
        failed += [
            (name, answer.status_code) for answer in (selected, exported, dropped) if answer.status_code not in ANSWERED
        ]
    assert not failed


def test_a_saved_filter_s_name_with_a_nul_is_refused_and_kept_nowhere(client: Client) -> None:
    for asked in ({"name": "a\x00b", "query": "q=x"}, {"name": "a", "query": "q=a\x00b"}):
        answer = client.post("/console/agents/turn/saved-filters/", asked)
        assert answer.status_code == 400
    answer = client.post("/console/agents/turn/saved-filters/", {"name": "a", "query": "q=a%00b"})
    assert "holds a NUL character" in str(*get_messages(answer.wsgi_request))
    assert not SavedFilter.objects.exists()
