"""The ways through the console: every URL and action there is, as `table` says who may go it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from django.contrib import admin
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.conformance.belongings import Belongings
from tests.console.everything import Everything
from tests.console.table import ACTIONS, APPS, LOOK, MODELS, NO, NOTHING_THERE, PAGES, POST, PUBLIC, USE, Model, Page
from tests.staff.members import member

OF_A_MODEL = {"changelist": "look", "change": "look", "history": "look", "add": "add", "delete": "delete"}
"""Pages that every `ModelAdmin` has, with the word in MODELS that opens them."""
OF_A_LIST = ("export", "save_filter", "drop_filter")
"""What every list has for whoever may look at it; each takes a POST only, and changes nothing but what they kept for themselves."""


@dataclass(frozen=True)
class Way:
    """An address, and what the table says of it: the words for viewer, tenant administrator and operator."""

    name: str
    url: str
    viewer: str
    tenant: str
    operator: str = USE
    of: str = ""
    """The model of the row that it names; empty: none."""


def names() -> set[str]:
    """The name of each URL under /console/."""
    return {name for route, name in _patterns(get_resolver().url_patterns) if route.startswith("console/")}


def _patterns(patterns: list[URLPattern | URLResolver], route: str = "", space: str = "") -> Iterator[tuple[str, str]]:
    for one in patterns:
        here = f"{route}{one.pattern}"
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns, here, f"{space}{one.namespace}:" if one.namespace else space)
        else:
            yield here, f"{space}{one.name or ''}"


def expected_names() -> set[str]:
    """The names that the table has a word for."""
    of_models = {f"admin:{label.replace('.', '_')}_{page}" for label in MODELS for page in OF_A_MODEL}
    of_models |= {f"admin:{label.replace('.', '_')}_{page}" for label in MODELS for page in OF_A_LIST}
    return of_models | set(PAGES) | PUBLIC | NOTHING_THERE | {"admin:app_list"}


def actions() -> dict[str, set[str]]:
    """The actions of each list, as an operator is offered them."""
    request = RequestFactory().get("/")
    request.user = member("operator")
    offered = {model._meta.label_lower: set(one.get_actions(request)) for model, one in admin.site._registry.items()}
    return {label: some for label, some in offered.items() if some}


def expected_actions() -> dict[str, set[str]]:
    """The actions that the table has a word for."""
    return {label: {*tenants.split(), *operators.split()} for label, (tenants, operators) in ACTIONS.items()}


def ways(everything: Everything, own: Belongings) -> list[Way]:
    """All addresses, naming that tenant's objects where they name any."""
    found = [_page(name, page, everything, own) for name, page in PAGES.items()]
    for label, model in MODELS.items():
        found += _of_model(label, model, everything, own)
    found += [
        Way("admin:app_list", reverse("admin:app_list", args=[app]), viewer, tenant)
        for app, (viewer, tenant) in APPS.items()
    ]
    return found


def _page(name: str, page: Page, everything: Everything, own: Belongings) -> Way:
    row = everything.row(page.of, own) if page.of else None
    args = [attrgetter(field)(row) for field in page.by.split(",")] if page.of and page.by else []
    url = f"{reverse(name, args=[*args, *page.behind])}?{page.query.format(pk=getattr(row, 'pk', ''))}"
    return Way(name, url, page.viewer, page.tenant, page.operator, of=page.of)


def _of_model(label: str, model: Model, everything: Everything, own: Belongings) -> Iterator[Way]:
    row = everything.row(label, own)
    assert row is not None, f"everything.py makes no row of {label}"
    for page, word in OF_A_MODEL.items():
        name = f"admin:{label.replace('.', '_')}_{page}"
        of_a_row = page in ("change", "history", "delete")
        url = reverse(name, args=[row.pk] if of_a_row else [])
        tenants, operators = ACTIONS.get(label, ("", ""))
        yield Way(
            name,
            url,
            viewer=model.viewer if word == "look" else NO,
            tenant=_word(model.tenant, page, word, acts=bool(tenants)),
            operator=_word(model.operator, page, word, acts=bool(tenants or operators)),
            of=label if of_a_row else "",
        )

    looks = "look" in model.tenant.split()
    for page in OF_A_LIST:
        name = f"admin:{label.replace('.', '_')}_{page}"
        url = reverse(name, args=[1] if page == "drop_filter" else [])
        yield Way(name, url, viewer=POST if model.viewer == LOOK else NO, tenant=POST if looks else NO, operator=POST)


def _word(words: str, page: str, word: str, *, acts: bool) -> str:
    if word not in words.split():
        return NO
    changes = {"changelist": acts, "change": "change" in words.split(), "history": False}.get(page, True)
    return USE if changes else LOOK
