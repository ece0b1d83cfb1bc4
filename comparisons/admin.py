"""Comparisons in the console: a table of both answers to each input."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from comparisons import selectors
from comparisons.models import Comparison, ComparisonRun, InputSet
from tenants.admin import ReadOnly

SHOWN = 100
"""Inputs that the page shows; the API and its CSV have all."""
CHARS = 2000
STATE_COLOURS = {"running": "info", "done": "success"}
_CELL = SafeString('style="vertical-align: top; padding: 4px 12px 4px 0; white-space: pre-wrap"')


@admin.register(InputSet)
class InputSetAdmin(ReadOnly):
    """Saved inputs; made by API."""

    list_display = ("name", "tenant", "agent", "inputs", "created_by", "created_at")
    list_filter = ("tenant",)
    search_fields = ("name", "agent__slug")
    list_select_related = ("tenant", "agent")

    @display(description="inputs")
    def inputs(self, input_set: InputSet) -> int:
        """How many there are."""
        return len(input_set.items)


@admin.register(Comparison)
class ComparisonAdmin(ReadOnly):
    """Two revisions on the same inputs."""

    list_display = ("agent", "tenant", "sides", "input_set", "shown_state", "trouble", "created_at", "finished_at")
    list_filter = ("state", "tenant")
    search_fields = ("agent__slug", "input_set__name")
    list_select_related = ("tenant", "agent", "left__agent", "right__agent", "input_set")
    readonly_fields = ("trouble", "totals", "report")
    fields: ClassVar = [
        "tenant", "agent", "input_set", "left", "right", "state", "trouble", "created_by", "created_at", "finished_at", "totals",
        "report",
    ]  # fmt: skip

    @display(description="revisions")
    def sides(self, comparison: Comparison) -> str:
        """Both, by number."""
        return f"r{comparison.left.number} and r{comparison.right.number}"

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def shown_state(self, comparison: Comparison) -> str:
        """The state in its colour."""
        return comparison.state

    @display(description="held up by")
    def trouble(self, comparison: Comparison) -> str:
        """Why no task of it is accepted now."""
        return (comparison.held_up_by or {}).get("message", "")

    @display(description="totals")
    def totals(self, comparison: Comparison) -> SafeString:
        """Both sides in sum."""
        found = selectors.summary(comparison)
        rows = [(name.replace("_", " "), found["left"][name], found["right"][name]) for name in found["left"]]
        rows.append(("answered otherwise", found["differ"], found["differ"]))
        head = ("", f"r{comparison.left.number}", f"r{comparison.right.number}")
        return _table(head, [tuple("" if cell is None else cell for cell in row) for row in rows])

    @display(description="input by input")
    def report(self, comparison: Comparison) -> SafeString:
        """Both answers side by side, with what they were held against."""
        head = ("", "input", f"r{comparison.left.number}", f"r{comparison.right.number}", "")
        rows = [
            (
                item["number"],
                item["messages"][-1]["content"][:CHARS],
                _side(item["left"]),
                _side(item["right"]),
                {True: "differ", False: "same", None: ""}[item["differ"]],
            )
            for item in selectors.items(comparison, count=SHOWN)
        ]
        return _table(head, rows)


def _side(run: dict[str, Any]) -> str:
    checks = ", ".join(f"{one['check']} {'passed' if one['passed'] else one['message']}" for one in run["checks"])
    took = "" if run["total_s"] is None else f"{run['completion_tokens']} tokens, {run['total_s']:g} s"
    said = run["output"][:CHARS] or (run["error"] or {}).get("message", "")
    return "\n".join(part for part in (said, f"[{run['state'] or 'not yet'}] {took}".strip(), checks) if part)


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> SafeString:
    lines = [head, *rows]
    body = format_html_join(
        "",
        "<tr>{}</tr>",
        ((format_html_join("", "<td {}>{}</td>", ((_CELL, cell) for cell in line)),) for line in lines),
    )
    return format_html("<table>{}</table>", body)


@admin.register(ComparisonRun)
class ComparisonRunAdmin(ReadOnly):
    """All runs."""

    list_display = ("comparison", "number", "side", "tenant", "task", "judged_at")
    list_filter = ("side", "tenant")
    is_large = True
    ordering = ("-id",)
    search_fields = ("task__id", "comparison__id")

    def get_queryset(self, request: HttpRequest) -> Any:
        related = (
            "comparison__agent",
            "comparison__left",
            "comparison__right",
            "comparison__input_set",
            "task",
            "tenant",
        )
        return super().get_queryset(request).select_related(*related)
