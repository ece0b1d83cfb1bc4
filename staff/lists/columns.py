"""What many lists show in the same way: ends of ids, two lines in one cell, words that are cut, ways to other pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString


def end_of(key: Any) -> SafeString:
    """The end of an id, which tells ids of one time apart; the whole is its title."""
    return format_html('<span class="id" title="{}">…{}</span>', key, str(key)[-12:])


def line(words: object) -> SafeString:
    """Words that are not broken."""
    return format_html('<span class="line">{}</span>', words)


def moment(at: datetime | None) -> str | SafeString:
    """A moment as all lists write it, in the console's zone."""
    return line(f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S}") if at else ""


def way(url: str, words: object, *, title: object = "") -> SafeString:
    """A link."""
    return format_html('<a href="{}" title="{}">{}</a>', url, title, words)


def way_to_task(task_id: Any) -> str | SafeString:
    """To a task's page, if there is a task."""
    return way(reverse("console:task", args=[task_id]), f"…{str(task_id)[-12:]}", title=task_id) if task_id else ""


def cut(words: str) -> SafeString:
    """Words of which the list shows two lines; their title has the whole."""
    return format_html('<div class="cut" title="{}">{}</div>', words, words)


def two_lines(first: object, second: object) -> SafeString:
    """One below the other; the second explains the first, and may be empty."""
    below = format_html('<div class="line quiet">{}</div>', second) if second else ""
    return format_html('<div class="lines"><div class="line">{}</div>{}</div>', first, below)
