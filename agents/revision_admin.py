"""What of an agent serves, in the console: publish, split, go back, each after a question; and who did so when."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.dataclasses import ActionDialog
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from agents import publications
from agents.models import Agent, AgentRevision, Publication, TrafficShare
from agents.problems import Problem
from agents.traffic import WHOLE
from tenants.admin import ReadOnly

MAY = ["decide"]
_SHARE = re.compile(r"r?(\d{1,9})\s*[:=]\s*(\d{1,3})\s*%?")


def in_words(publication: Publication | None) -> str:
    """`r1 90 %, r2 10 %`."""
    return ", ".join(str(share) for share in publication.shares.all()) if publication else "nothing was published"


def shares_of(text: str) -> dict[int, int]:
    """`1: 90, 2: 10` as number to percent."""
    found: dict[int, int] = {}
    for piece in text.split(","):
        share = _SHARE.fullmatch(piece.strip())
        if share is None or int(share[1]) in found:
            raise ValidationError("Write each revision once, with its percent, such as 1: 90, 2: 10.")
        found[int(share[1])] = int(share[2])
    return found


class SplitForm(BaseDialogForm):
    """The shares of a split, as text."""

    shares = forms.CharField(
        widget=UnfoldAdminTextInputWidget, help_text="Revision: percent, such as 1: 90, 2: 10. They sum to 100."
    )

    def clean_shares(self) -> dict[int, int]:
        """Read them, and refuse what the service would."""
        shares = shares_of(self.cleaned_data["shares"])
        if sum(shares.values()) != WHOLE:
            raise ValidationError("The percents must sum to 100.")
        return shares


class RollBackForm(BaseDialogForm):
    """Which publication is to count again."""

    publication = forms.IntegerField(
        required=False, min_value=1, widget=UnfoldAdminTextInputWidget, help_text="Empty: the one before the last."
    )


def _asks(title: str, description: str, submit: str, form: type[BaseDialogForm] | None = None) -> ActionDialog:
    return ActionDialog(title=title, description=description, form_class=form, form_submit_text=submit)


class Decides:
    """Makes a decision in the name of who is logged in, says what came of it, and shows the agent."""

    def has_decide_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Whoever may change agents decides which of their revisions serve."""
        return request.user.has_perm("agents.change_agent")

    def decided(self, request: HttpRequest, agent: Agent, decide: Callable[[str], Publication]) -> HttpResponse:
        """The answer to a dialog, which htmx follows."""
        try:
            done = decide(str(request.user))
        except Problem as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, f"Publication {done.number} of {agent}: {in_words(done)}.")
        return HttpResponse(headers={"HX-Redirect": reverse("admin:agents_agent_change", args=[agent.pk])})


class TrafficActions(Decides):
    """The actions of an agent's page."""

    @action(
        description="Split traffic",
        icon="call_split",
        permissions=MAY,
        dialog=_asks("Split traffic", "New tasks are shared between these revisions from now on.", "Split", SplitForm),
    )
    def split_traffic(self, request: HttpRequest, form: SplitForm, object_id: str) -> HttpResponse:
        agent = get_object_or_404(Agent.objects.across_tenants(), pk=object_id)
        percents = form.cleaned_data["shares"]
        return self.decided(
            request, agent, lambda by: publications.split(agent=agent, percents=percents, published_by=by)
        )

    @action(
        description="Roll back",
        icon="undo",
        permissions=MAY,
        dialog=_asks("Roll back", "What was published earlier counts again; history stays.", "Roll back", RollBackForm),
    )
    def roll_back(self, request: HttpRequest, form: RollBackForm, object_id: str) -> HttpResponse:
        agent = get_object_or_404(Agent.objects.across_tenants(), pk=object_id)
        number = form.cleaned_data["publication"]
        return self.decided(
            request, agent, lambda by: publications.roll_back(agent=agent, number=number, published_by=by)
        )

    @display(description="traffic")
    def traffic(self, agent: Agent) -> str:
        """Which revisions new tasks get."""
        return in_words(publications.traffic(agent)) if not agent._state.adding else ""


class PublishAction(Decides):
    """The action of a revision's page."""

    @action(
        description="Publish",
        icon="publish",
        permissions=MAY,
        dialog=_asks("Publish this revision", "All new tasks of the agent get it from now on.", "Publish"),
    )
    def publish(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        revision = get_object_or_404(AgentRevision.objects.across_tenants().select_related("agent"), pk=object_id)
        return self.decided(
            request,
            revision.agent,
            lambda by: publications.publish(agent=revision.agent, number=revision.number, published_by=by),
        )

    @display(description="serves")
    def serves(self, revision: AgentRevision) -> str:
        """Its part of the traffic, or that it is a draft."""
        now = publications.traffic(revision.agent)
        percent = (
            next((share.percent for share in now.shares.all() if share.revision_id == revision.pk), 0) if now else 0
        )
        if not percent and not revision.shares.exists():
            return "draft"
        return f"{percent} %" if percent else "no more"


@admin.register(Publication)
class PublicationAdmin(ReadOnly):
    """Who published what when."""

    list_display = ("agent", "number", "tenant", "shown_kind", "shown_shares", "published_by", "published_at")
    list_filter = ("kind", "tenant")
    search_fields = ("agent__slug", "published_by")
    list_select_related = ("agent", "tenant")
    readonly_fields = ("shown_shares",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("shares__revision")

    @display(description="kind", ordering="kind", label={"publish": "success", "roll_back": "warning", "split": "info"})
    def shown_kind(self, publication: Publication) -> str:
        """The kind in its colour."""
        return publication.kind

    @display(description="traffic")
    def shown_shares(self, publication: Publication) -> str:
        """Which revisions it lets serve."""
        return in_words(publication)


@admin.register(TrafficShare)
class TrafficShareAdmin(ReadOnly):
    """All shares."""

    list_display = ("publication", "revision", "tenant", "percent")
    list_filter = ("tenant",)
    search_fields = ("publication__agent__slug",)
    list_select_related = ("publication__agent", "revision__agent", "tenant")
