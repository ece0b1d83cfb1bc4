"""What a tenant administrator meets in the admin's lists and forms: rows, choices and actions of the own tenant, and nothing else.

Closed by default: a `ModelAdmin` that names no `tenant_lookup`, or whose model `staff.permissions` does not name, shows them
nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, NoReturn

from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.filters import RelatedFieldListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.forms import ModelChoiceField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern
from unfold.admin import ModelAdmin

from staff.access import Access, access_of

TENANT = "tenants.tenant"
"""The model whose rows are the tenants themselves."""


def bound_to_tenant(request: HttpRequest) -> Access | None:
    """The access of who asks, if it is one tenant's only."""
    access = access_of(request.user)
    return access if access is not None and not access.sees_all_tenants else None


class OwnFilter(RelatedFieldListFilter):
    """A filter by a related row, which offers those of the own tenant."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        rows = model_admin.own_choices(request, model_admin.rows_of(field.remote_field.model))
        return [(row.pk, str(row)) for row in rows]


class OwnRows(ModelAdmin):
    """Over unfold's pages: what the URL, the form or the action names must be the asking tenant's own."""

    tenant_lookup: ClassVar[str | None] = None

    # Permissions: without a way from the rows to a tenant there are none.

    def _may(self, request: HttpRequest) -> bool:
        return self.tenant_lookup is not None or bound_to_tenant(request) is None

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request) and super().has_delete_permission(request, obj)

    # Choices: what a form or a filter may refer to.

    def choosable(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the model's rows that forms of a tenant administrator may refer to."""
        access = bound_to_tenant(request)
        if access is None:
            return rows
        return access.rows(rows, tenant=self.tenant_lookup) if self.tenant_lookup else rows.none()

    def rows_of(self, model: type[Model]) -> QuerySet[Any]:
        """All rows of a model, whoever's, for `own_choices` to choose from."""
        try:
            related: Any = self.admin_site.get_model_admin(model)
        except NotRegistered:
            return model._default_manager.none()
        return related.all_rows() if isinstance(related, OwnRows) else model._default_manager.none()

    def all_rows(self) -> QuerySet[Any]:
        """The rows of all tenants."""
        return self.model._default_manager.all()

    def own_choices(self, request: HttpRequest, rows: Any) -> QuerySet[Any]:
        """Those of any model's rows that a form may refer to; none of a model that has no page here to say which."""
        if bound_to_tenant(request) is None:
            return rows
        try:
            related: Any = self.admin_site.get_model_admin(rows.model)
        except NotRegistered:
            return rows.none()
        return related.choosable(request, rows) if isinstance(related, OwnRows) else rows.none()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if bound_to_tenant(request) is not None:
            for name, field in form.base_fields.items():
                if isinstance(field, ModelChoiceField):
                    own = copy.deepcopy(field)  # a field that the form declares is the same for all requests
                    own.queryset = self.own_choices(request, field.queryset)
                    form.base_fields[name] = own
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        access = bound_to_tenant(request)
        return initial if access is None else {**initial, "tenant": access.tenant_id}

    def get_list_filter(self, request: HttpRequest) -> Any:
        filters = super().get_list_filter(request)
        if bound_to_tenant(request) is None:
            return filters
        return [own for one in filters if (own := self._own_filter(one)) is not None]

    def _own_filter(self, one: Any) -> Any:
        path = one[0] if isinstance(one, (tuple, list)) else one
        if not isinstance(path, str):
            return one
        field: Any = get_fields_from_path(self.model, path)[-1]
        if not field.is_relation:
            return one
        if field.related_model._meta.label_lower == TENANT:
            return None
        return (
            one if isinstance(one, (tuple, list)) else (path, OwnFilter)
        )  # what is found by typing asks the other page

    # Actions: those that are offered, on rows that are shown.

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method == "POST":
            self._refuse_forged(request)
        return super().changelist_view(request, extra_context)

    def _refuse_forged(self, request: HttpRequest) -> None:
        """Raises `PermissionDenied` for an action that this page does not offer, `Http404` for rows that it does not show."""
        offered = self.get_actions(request) if self.has_view_or_change_permission(request) else {}
        asked = {name for name in request.POST.getlist("action") if name}
        if not offered or not asked <= set(offered):
            raise PermissionDenied
        chosen = set(request.POST.getlist(ACTION_CHECKBOX_NAME))
        try:
            shown = self.get_queryset(request).filter(pk__in=chosen).count() if chosen else 0
        except (ValueError, ValidationError):
            shown = -1
        if shown < 0 or (shown < len(chosen) and bound_to_tenant(request) is not None):
            raise Http404

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        of_a_row = {one.action_name for one in (*self._get_base_actions_detail(), *self._get_base_actions_row())}
        for pattern in urls:
            if pattern.name in of_a_row:
                pattern.callback = self._of_a_shown_row(pattern.callback)
        return urls

    def _of_a_shown_row(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """The action's view, for a row that this page shows; 404 for another."""

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, object_id: str, **kwargs: Any) -> HttpResponseBase:
            if access_of(request.user) is not None and self.get_object(request, object_id) is None:
                raise Http404
            return view(request, *args, object_id=object_id, **kwargs)

        return guarded

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> NoReturn:
        """Django would redirect to the first page; an object that is not there, or not yours, is 404 here as everywhere."""
        raise Http404(f"{opts.verbose_name} {object_id!r}")
