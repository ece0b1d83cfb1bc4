"""The forms of the REST resources: fields and their checks, no logic."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.models import Agent, AgentRevision, Conversation, Message, Task


class RevisionSerializer(serializers.ModelSerializer[AgentRevision]):
    """One immutable version of an agent."""

    pool = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)

    class Meta:
        model = AgentRevision
        fields = ("id", "number", "pool", "system_prompt", "params", "created_by", "created_at")


class AgentSerializer(serializers.ModelSerializer[Agent]):
    """An agent and its current revision."""

    current_revision = RevisionSerializer(read_only=True)

    class Meta:
        model = Agent
        fields = ("id", "slug", "name", "current_revision", "archived_at", "created_at")


class AgentInput(serializers.Serializer[Any]):
    """What a caller says of an agent. A change of pool, system_prompt or params makes a new revision."""

    slug = serializers.SlugField(max_length=63)
    name = serializers.CharField(max_length=200, required=False)
    pool = serializers.CharField(max_length=63)
    system_prompt = serializers.CharField(allow_blank=True, default="", max_length=200_000)
    params = serializers.DictField(default=dict)


class AgentChange(serializers.Serializer[Any]):
    """A change: what is left out stays."""

    name = serializers.CharField(max_length=200, required=False)
    pool = serializers.CharField(max_length=63, required=False)
    system_prompt = serializers.CharField(allow_blank=True, required=False, max_length=200_000)
    params = serializers.DictField(required=False)


class ConversationSerializer(serializers.ModelSerializer[Conversation]):
    """Ordered messages that outlive a task."""

    agent = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)

    class Meta:
        model = Conversation
        fields = ("id", "title", "agent", "metadata", "created_at")


class ConversationInput(serializers.Serializer[Any]):
    """What a caller says of a conversation."""

    title = serializers.CharField(max_length=200, allow_blank=True, required=False)
    agent = serializers.SlugField(required=False)
    metadata = serializers.DictField(required=False)


class MessageSerializer(serializers.ModelSerializer[Message]):
    """One message; `number` orders the conversation."""

    class Meta:
        model = Message
        fields = ("id", "number", "role", "content", "task", "created_at")
        read_only_fields = ("number", "task")


class TaskSerializer(serializers.ModelSerializer[Task]):
    """A task as it is recorded."""

    agent = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    revision = serializers.IntegerField(source="revision.number", read_only=True)
    pool = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    usage = serializers.SerializerMethodField()

    class Meta:
        model = Task
        fields = (
            "id", "agent", "revision", "pool", "conversation", "state", "priority", "deadline_at", "metadata", "output",
            "finish_reason", "error", "usage", "attempts", "created_at", "started_at", "first_token_at", "finished_at",
        )  # fmt: skip

    def get_usage(self, task: Task) -> dict[str, int]:
        """Tokens in and out."""
        return {"prompt_tokens": task.prompt_tokens, "completion_tokens": task.completion_tokens}


class TaskFilter(serializers.Serializer[Any]):
    """Filters of the task list, from the query string."""

    state = serializers.MultipleChoiceField(choices=Task._meta.get_field("state").choices or [], required=False)
    agent = serializers.SlugField(required=False)
    conversation = serializers.UUIDField(required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
