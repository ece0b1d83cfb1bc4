"""The REST resources: parse, one service or selector call, format. Every query is the key's tenant's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from django.db.models import Model, OuterRef, QuerySet, Subquery
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from agents import conversations, services
from agents.api import serializers as forms
from agents.api.authentication import KeyUser
from agents.api.pagination import HighestNumberFirst
from agents.api.tool_forms import StepSerializer
from agents.branches import WhenBusy
from agents.models import Agent, Conversation, Message, Task
from agents.problems import bad_field
from tenants.models import ApiKey, Tenant

Row = TypeVar("Row", bound=Model)


def tenant_of(request: Request) -> Tenant:
    """The tenant whose key asks."""
    return cast("KeyUser", request.user).tenant


def key_of(request: Request) -> ApiKey:
    """The key that asks."""
    return cast("KeyUser", request.user).key


class Listed(mixins.ListModelMixin, viewsets.GenericViewSet[Row], ABC):
    """A list whose filters are a form: what is not in it is refused."""

    filters: type[forms.QueryForm]

    def filter_queryset(self, queryset: QuerySet[Row, Any]) -> QuerySet[Row, Any]:
        if self.action != "list":
            return queryset
        return self.filtered(queryset, parsed(self.filters(data=self.request.query_params)))

    @abstractmethod
    def filtered(self, rows: QuerySet[Row], asked: dict[str, Any]) -> QuerySet[Row]:
        """The rows that were asked for."""

    def page_of(self, rows: QuerySet[Any], form: type[serializers.ModelSerializer[Any]]) -> Response:
        """A page of rows that one object has. They have no filters."""
        parsed(forms.QueryForm(data=self.request.query_params))
        return self.get_paginated_response(form(self.paginate_queryset(rows), many=True).data)


def parsed(form: Any) -> dict[str, Any]:
    """What a form says; raises the problem that names the field that does not fit."""
    form.is_valid(raise_exception=True)
    return cast("dict[str, Any]", form.validated_data)


@extend_schema_view(
    list=extend_schema(summary="List agents", parameters=[forms.AgentFilter]),
    retrieve=extend_schema(summary="Get an agent"),
)
class AgentViewSet(mixins.RetrieveModelMixin, Listed[Agent]):
    """Agents of the tenant."""

    serializer_class = forms.AgentSerializer
    queryset = Agent.objects.none()
    lookup_field = "slug"
    filters = forms.AgentFilter

    def get_queryset(self) -> QuerySet[Agent]:
        return Agent.objects.for_tenant(tenant_of(self.request)).select_related("current_revision__pool")

    def filtered(self, rows: QuerySet[Agent], asked: dict[str, Any]) -> QuerySet[Agent]:
        return rows.filter(archived_at__isnull=not asked["archived"])

    @extend_schema(summary="Create an agent", request=forms.AgentInput, responses={201: forms.AgentSerializer})
    def create(self, request: Request) -> Response:
        data = parsed(forms.AgentInput(data=request.data))
        tenant = tenant_of(request)
        agent = services.create_agent(
            tenant=tenant,
            slug=data["slug"],
            name=data.get("name") or data["slug"],
            pool=services.usable_pool(tenant=tenant, slug=data["pool"]),
            system_prompt=data["system_prompt"],
            params=data["params"],
            output=data["output"],
            created_by=str(request.auth),
            tools=data["tools"],
            limits=data["limits"],
            context=data["context"],
        )
        return Response(self.get_serializer(agent).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Change an agent (makes a new revision, and publishes it)",
        request=forms.AgentChange,
        responses={200: forms.AgentSerializer},
    )
    def partial_update(self, request: Request, slug: str) -> Response:
        data = parsed(forms.AgentChange(data=request.data))
        agent = self.get_object()
        services.change_agent(agent=agent, tenant=tenant_of(request), changes=data, changed_by=str(request.auth))
        return Response(self.get_serializer(agent).data)

    @extend_schema(summary="Archive an agent", responses={204: None})
    def destroy(self, request: Request, slug: str) -> Response:
        services.archive_agent(agent=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(
    list=extend_schema(summary="List conversations", parameters=[forms.ConversationFilter]),
    retrieve=extend_schema(summary="Get a conversation"),
)
class ConversationViewSet(mixins.RetrieveModelMixin, Listed[Conversation]):
    """Conversations of the tenant."""

    serializer_class = forms.ConversationSerializer
    queryset = Conversation.objects.none()
    filters = forms.ConversationFilter

    def get_queryset(self) -> QuerySet[Conversation]:
        head = Message.objects.for_tenant(tenant_of(self.request)).filter(
            conversation=OuterRef("pk"), number=OuterRef("head_number")
        )
        rows = Conversation.objects.for_tenant(tenant_of(self.request)).select_related("agent")
        return rows.annotate(head=Subquery(head.values("pk")))

    def filtered(self, rows: QuerySet[Conversation], asked: dict[str, Any]) -> QuerySet[Conversation]:
        return rows.filter(agent__slug=asked["agent"]) if "agent" in asked else rows

    def _agent(self, slug: str | None) -> Agent | None:
        if slug is None:
            return None
        agent = Agent.objects.for_tenant(tenant_of(self.request)).filter(slug=slug).first()
        if agent is None:
            raise bad_field("agent", f"there is no agent {slug!r}")
        return agent

    @extend_schema(
        summary="Create a conversation",
        request=forms.ConversationInput,
        responses={201: forms.ConversationSerializer},
    )
    def create(self, request: Request) -> Response:
        data = parsed(forms.ConversationInput(data=request.data))
        conversation = Conversation.objects.create(
            tenant=tenant_of(request),
            agent=self._agent(data.get("agent")),
            title=data.get("title", ""),
            metadata=data.get("metadata", {}),
            when_busy=data.get("when_busy", WhenBusy.QUEUE.value),
        )
        return Response(self._shown(conversation), status=status.HTTP_201_CREATED)

    def _shown(self, conversation: Conversation) -> Any:
        return self.get_serializer(self.get_queryset().get(pk=conversation.pk)).data

    @extend_schema(
        summary="Change a conversation",
        request=forms.ConversationChange,
        responses={200: forms.ConversationSerializer},
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        data = parsed(forms.ConversationChange(data=request.data))
        conversation = self.get_object()
        if "agent" in data:
            conversation.agent = self._agent(data["agent"])
        conversation.title = data.get("title", conversation.title)
        conversation.metadata = data.get("metadata", conversation.metadata)
        conversation.when_busy = data.get("when_busy", conversation.when_busy)
        if "head" in data:
            conversations.choose_head(conversation=conversation, head=data["head"])
        conversation.save(update_fields=["agent", "title", "metadata", "when_busy"])
        return Response(self._shown(conversation))

    @extend_schema(summary="Delete a conversation", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_conversation(conversation=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="List the messages of a branch, the newest first",
        methods=["GET"],
        parameters=[forms.MessageFilter],
        responses={200: forms.MessageSerializer(many=True)},
    )
    @extend_schema(
        summary="Append a message",
        methods=["POST"],
        request=forms.MessageInput,
        responses={201: forms.MessageSerializer},
    )
    @action(detail=True, methods=["get", "post"], pagination_class=HighestNumberFirst)
    def messages(self, request: Request, pk: str) -> Response:
        conversation = self.get_object()
        if request.method == "GET":
            asked = parsed(forms.MessageFilter(data=request.query_params))
            if asked["all"]:
                return self._page(conversation, conversation.messages.all())
            head = conversation.head_number
            if "head" in asked:
                head = conversations.message_of(conversation, asked["head"], field="head").number
            page = self._page(conversation, conversations.branch(conversation, head))
            if (
                page.data["next"] and "head" not in asked
            ):  # the next page is of this branch, whatever is chosen meanwhile
                page.data["next"] = replace_query_param(
                    page.data["next"], "head", conversations.ids_of(conversation, [head])[head]
                )
            return page
        data = parsed(forms.MessageInput(data=request.data))
        message = conversations.append_message(
            conversation=conversation,
            role=data["role"],
            content=data["content"],
            after=data.get("after_message", conversations.HEAD),
        )
        (shown,) = self._messages(conversation, [message])
        return Response(shown, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="List the branches by their last messages, the newest first",
        responses={200: forms.MessageSerializer(many=True)},
    )
    @action(detail=True, pagination_class=HighestNumberFirst)
    def branches(self, request: Request, pk: str) -> Response:
        conversation = self.get_object()
        parsed(forms.QueryForm(data=request.query_params))
        return self._page(conversation, conversations.leaves(conversation))

    def _page(self, conversation: Conversation, rows: QuerySet[Any]) -> Response:
        return self.get_paginated_response(self._messages(conversation, self.paginate_queryset(rows) or []))

    def _messages(self, conversation: Conversation, messages: Sequence[Message]) -> Any:
        parents = conversations.ids_of(conversation, (message.parent_number for message in messages))
        known = {"parents": parents, "siblings": conversations.siblings(conversation, messages)}
        return forms.MessageSerializer(messages, many=True, context=known).data


class TaskViewSet(Listed[Task]):
    """Tasks of the tenant, as recorded. All other calls on tasks are served by the hot routes."""

    serializer_class = forms.TaskSerializer
    queryset = Task.objects.none()
    scope_area = "tasks"
    filters = forms.TaskFilter

    @property
    def allowed_methods(self) -> list[str]:
        """What `Allow` says of the path: the hot route that submits is served there, too."""
        return [*super().allowed_methods, *(["POST"] if self.detail is False else [])]

    def get_queryset(self) -> QuerySet[Task]:
        return (
            Task.objects.for_tenant(tenant_of(self.request))
            .select_related("agent", "revision", "pool")
            .defer("logprobs")
        )

    def filtered(self, rows: QuerySet[Task], asked: dict[str, Any]) -> QuerySet[Task]:
        lookups = {"agent": "agent__slug", "conversation": "conversation", "created_after": "created_at__gt",
                   "created_before": "created_at__lt"}  # fmt: skip
        rows = rows.filter(**{lookup: asked[name] for name, lookup in lookups.items() if name in asked})
        if asked["state"]:
            rows = rows.filter(state__in=asked["state"])
        return rows.filter(metadata__contains=asked["metadata"]) if asked["metadata"] else rows

    @extend_schema(
        summary="List tasks",
        parameters=[
            forms.TaskFilter,
            OpenApiParameter("metadata.NAME", str, description="Only tasks whose metadata has this value under NAME."),
        ],
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Get the steps of a task: its turns and their tool calls", responses={200: StepSerializer(many=True)}
    )
    @action(detail=True, pagination_class=None)
    def steps(self, request: Request, pk: str) -> Response:
        parsed(forms.QueryForm(data=request.query_params))
        turns = self.get_object().turns.order_by("number").prefetch_related("calls")
        return Response(StepSerializer(turns, many=True).data)
