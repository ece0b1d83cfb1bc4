"""Revisions of an agent by REST: drafts, what serves, and the history of that."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import IntegerField, Min, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from agents import publications
from agents.api import revision_serializers as forms
from agents.api.pagination import HighestNumberFirst
from agents.api.serializers import QueryForm
from agents.api.views import tenant_of
from agents.models import Agent, AgentRevision, Publication, TrafficShare
from agents.problems import not_found
from agents.services import draft_revision

SLUG = OpenApiParameter("slug", str, OpenApiParameter.PATH)
NUMBER = OpenApiParameter("number", int, OpenApiParameter.PATH)
NUMBERS = re.compile("[0-9]{1,9}")


class OfAgent(viewsets.GenericViewSet[Any]):
    """What belongs to one agent of the tenant, numbered as it came."""

    pagination_class = HighestNumberFirst
    queryset = AgentRevision.objects.none()

    def agent(self) -> Agent:
        """The agent in the path, or 404."""
        return get_object_or_404(Agent.objects.for_tenant(tenant_of(self.request)), slug=self.kwargs["slug"])

    def page_of(self, rows: QuerySet[Any]) -> Response:
        """A page of them. They have no filters."""
        QueryForm.read(self.request.query_params)
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)


@extend_schema(parameters=[SLUG])
class RevisionViewSet(OfAgent):
    """An agent's revisions."""

    serializer_class = forms.RevisionInTraffic

    def get_queryset(self) -> QuerySet[AgentRevision]:
        if getattr(self, "swagger_fake_view", False):
            return AgentRevision.objects.none()
        agent = self.agent()
        now = Publication.objects.for_tenant(agent.tenant_id).filter(agent=agent).order_by("-number").values("pk")[:1]
        shares = TrafficShare.objects.for_tenant(agent.tenant_id).filter(revision=OuterRef("pk"))
        percent = shares.filter(publication=Subquery(now)).values("percent")
        return agent.revisions.select_related("pool").annotate(
            published_at=Min("shares__publication__published_at"),
            percent=Coalesce(Subquery(percent), Value(0), output_field=IntegerField()),
        )

    def revision(self, number: str) -> AgentRevision:
        """The revision of that number, or 404."""
        if not NUMBERS.fullmatch(number):
            raise not_found("revision")
        return get_object_or_404(self.get_queryset(), number=int(number))

    @extend_schema(summary="List an agent's revisions, the newest first", operation_id="agents_revisions_list")
    def list(self, request: Request, slug: str) -> Response:
        return self.page_of(self.get_queryset())

    @extend_schema(
        summary="Create a draft: a revision that serves nobody until it is published",
        request=forms.DraftInput,
        responses={201: forms.RevisionInTraffic},
    )
    def create(self, request: Request, slug: str) -> Response:
        changes = forms.DraftInput.read(request.data)
        draft = draft_revision(
            agent=self.agent(), tenant=tenant_of(request), changes=changes, created_by=str(request.auth)
        )
        return Response(self.get_serializer(self.revision(str(draft.number))).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Get a revision", parameters=[NUMBER])
    def retrieve(self, request: Request, slug: str, number: str) -> Response:
        return Response(self.get_serializer(self.revision(number)).data)

    @extend_schema(
        summary="Publish a revision: all new tasks get it",
        parameters=[NUMBER],
        request=None,
        responses={200: forms.PublicationSerializer},
    )
    def publish(self, request: Request, slug: str, number: str) -> Response:
        done = publications.publish(
            agent=self.agent(), number=self.revision(number).number, published_by=str(request.auth)
        )
        return Response(forms.PublicationSerializer(done).data)


@extend_schema(parameters=[SLUG])
class PublicationViewSet(OfAgent):
    """Who published what when, and what counts now."""

    serializer_class = forms.PublicationSerializer

    @extend_schema(summary="List what was published, the newest first", operation_id="agents_publications_list")
    def list(self, request: Request, slug: str) -> Response:
        return self.page_of(self.agent().publications.prefetch_related("shares__revision"))

    @extend_schema(summary="Get how new tasks are shared between revisions")
    def traffic(self, request: Request, slug: str) -> Response:
        now = publications.traffic(self.agent())
        if now is None:
            raise not_found("publication")
        return Response(self.get_serializer(now).data)

    @extend_schema(
        summary="Share new tasks between revisions",
        request=forms.TrafficInput,
        responses={200: forms.PublicationSerializer},
    )
    def split(self, request: Request, slug: str) -> Response:
        shares = forms.TrafficInput.read(request.data)["shares"]
        percents = {share["revision"]: share["percent"] for share in shares}
        done = publications.split(agent=self.agent(), percents=percents, published_by=str(request.auth))
        return Response(self.get_serializer(done).data)

    @extend_schema(
        summary="Roll back: what was published before, or earlier, counts again",
        request=forms.RollBackInput,
        responses={200: forms.PublicationSerializer},
    )
    def roll_back(self, request: Request, slug: str) -> Response:
        number = forms.RollBackInput.read(request.data).get("publication")
        done = publications.roll_back(agent=self.agent(), number=number, published_by=str(request.auth))
        return Response(self.get_serializer(done).data)
