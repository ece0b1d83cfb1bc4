"""A page that asks before something is done: GET asks, POST does it and goes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from console.frame import render_page


def confirm(
    request: HttpRequest,
    template: str,
    *,
    title: str,
    trail: Sequence[tuple[str, str]],
    does: str,
    do: Callable[[], None],
    back: str,
    kind: str = "danger",
    **asked: Any,
) -> HttpResponseBase:
    """Ask by a template that extends `console/confirm.html`, or, by POST, `do` it, which says how it went, and go `back`.

    `does` is what the button says, `kind` how grave it is: `danger`, or empty.
    """
    if request.method == "POST":
        do()
        return HttpResponseRedirect(back)
    return render_page(request, template, title=title, trail=trail, does=does, back=back, kind=kind, **asked)
