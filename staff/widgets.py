"""A select of objects that are found by typing. Django's own fails, with a 500, when it shows a form again that names no object."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError


class ObjectSelect(AutocompleteSelect):
    """Shows what was chosen, and nothing where that can be no object's key: the field's own error says so."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        return super().optgroups(name, [one for one in value if self._is_key(one)], attrs)

    def _is_key(self, given: Any) -> bool:
        try:
            self.field.remote_field.model._meta.pk.to_python(given)
        except ValidationError:
            return False
        return True
