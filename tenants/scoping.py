"""The one place where queries are held to their tenant: a query that names none raises (after django-scopes).

A model with a tenant derives from `TenantOwned`. Its rows are reached by `Model.objects.for_tenant(tenant)`, inside
`with tenant_scope(tenant):`, through a relation of an object that was already reached, or, said aloud, `across_tenants()`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models

if TYPE_CHECKING:
    from tenants.models import Tenant

_scope: ContextVar[uuid.UUID | None] = ContextVar("tenant_scope", default=None)

M = TypeVar("M", bound=models.Model)


class UnscopedQuery(RuntimeError):
    """A query on a tenant's data names no tenant."""

    def __init__(self, model: type[models.Model]) -> None:
        super().__init__(
            f"{model.__name__}.objects was asked without a tenant: use .for_tenant(tenant), `with tenant_scope(tenant):`, "
            "or .across_tenants() where all tenants are meant"
        )


def _id(tenant: Tenant | uuid.UUID) -> uuid.UUID:
    return tenant if isinstance(tenant, uuid.UUID) else tenant.pk


@contextmanager
def tenant_scope(tenant: Tenant | uuid.UUID) -> Iterator[None]:
    """All queries on tenant-owned models inside are this tenant's."""
    token = _scope.set(_id(tenant))
    try:
        yield
    finally:
        _scope.reset(token)


class TenantQuerySet(models.QuerySet[M]):
    """A query that refuses to run before it has a tenant."""

    _scoped = False

    def for_tenant(self, tenant: Tenant | uuid.UUID) -> Self:
        """Only this tenant's rows."""
        scoped = self.filter(tenant=_id(tenant))
        scoped._scoped = True
        return scoped

    def across_tenants(self) -> Self:
        """All tenants' rows: for the console, the recorder and the sweep."""
        everyone = self.all()
        everyone._scoped = True
        return everyone

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._scoped = self._scoped
        return clone

    def _check(self) -> Self:
        if self._scoped or self._hints.get("instance") is not None:  # type: ignore[attr-defined]
            return self
        tenant = _scope.get()
        if tenant is None:
            raise UnscopedQuery(self.model)
        return self.for_tenant(tenant)

    # Every way to the database passes one of these.
    def _fetch_all(self) -> None:
        if self._result_cache is None:
            checked = self._check()
            if checked is not self:
                self.query = checked.query
                self._scoped = True
        super()._fetch_all()

    def iterator(self, *args: Any, **kwargs: Any) -> Any:
        return super(TenantQuerySet, self._check()).iterator(*args, **kwargs)

    def count(self) -> int:
        return super(TenantQuerySet, self._check()).count()

    def exists(self) -> bool:
        return super(TenantQuerySet, self._check()).exists()

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return super(TenantQuerySet, self._check()).aggregate(*args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        return super(TenantQuerySet, self._check()).update(**kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        return super(TenantQuerySet, self._check()).delete()

    def explain(self, *args: Any, **kwargs: Any) -> str:
        return super(TenantQuerySet, self._check()).explain(*args, **kwargs)


class TenantOwned(models.Model):
    """A row that belongs to one tenant."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True
