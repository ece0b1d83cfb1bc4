"""The forms of the REST resources: fields and their checks, no logic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.api.pagination import CursorPages
from agents.branches import WhenBusy
from agents.models import Agent, AgentRevision, Conversation, Message, Task
from agents.output_forms import given
from agents.problems import bad_field

SYSTEM_PROMPT_MAX = 200_000
TOOLS = (
    'What it may call: `{"tool": "<name>"}` of the tenant\'s, or `{"builtin": "<name>"}`: `calculator`, `current_time`, '
    "`ask_human`, `knowledge_search` (with `collections`), `hand_off` (with `agents`)."
)
CONTEXT = (
    "What becomes of a context that is too long: `strategy` (`fail`; `trim`: the oldest messages are left out; `summarise`: the "
    "model sums up a conversation's older messages), `max_tokens` (of prompt and answer together; null: as many as it holds), "
    "`keep_last` (so many of the last messages stay as they are), `summarise_at` (0.7 of the limit), `summary_tokens` (512)."
)
LIMITS = (
    "How far one task may go: `max_turns` (10), `max_tokens`, `max_seconds` and `max_cost` (0: no limit). `max_cost` is money in "
    "the currency of `GET /api/v1/usage`, a text or a number with six decimals at most; it needs a pool whose tokens have a price."
)


class Form(serializers.Serializer[Any]):
    """What a caller says. A field that is not known is refused by its name: a typo must not pass for a wish that was granted."""

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """What was said, checked; what does not fit is raised by its name."""
        form = cls(data=data)
        form.is_valid(raise_exception=True)
        return cast("dict[str, Any]", form.validated_data)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            self.refuse_unknown(data)
        return super().to_internal_value(data)

    def refuse_unknown(self, data: Mapping[str, Any]) -> None:
        """Raise a problem for the first field that this form does not have."""
        for name in data:
            if name not in self.fields:
                raise bad_field(name, f"unknown; known are {', '.join(self.fields)}")


class QueryForm(Form):
    """What a caller says in a list's query string, beside the pagination's parameters."""

    def to_internal_value(self, data: QueryDict) -> Any:
        for name, values in data.lists():
            several = isinstance(self.fields.get(name), serializers.MultipleChoiceField)
            if "" in values:
                raise bad_field(name, "must not be empty; leave it out")
            if len(values) > 1 and not several:
                raise bad_field(name, "must be given once")
        return super().to_internal_value(data)

    def refuse_unknown(self, data: Mapping[str, Any]) -> None:
        super().refuse_unknown({name: value for name, value in data.items() if name not in CursorPages.parameters})


class RevisionSerializer(serializers.ModelSerializer[AgentRevision]):
    """One immutable version of an agent."""

    pool = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    output = serializers.SerializerMethodField()

    class Meta:
        model = AgentRevision
        fields = (
            "id", "number", "pool", "system_prompt", "params", "output", "tools", "limits", "context", "created_by",
            "created_at",
        )  # fmt: skip

    @extend_schema_field({"oneOf": [{"$ref": "#/components/schemas/OutputIn"}, {"type": "null"}]})
    def get_output(self, revision: AgentRevision) -> dict[str, Any] | None:
        """What answers must look like where a task does not say; null: free text."""
        return given(revision.output_form)


class AgentSerializer(serializers.ModelSerializer[Agent]):
    """An agent and its current revision."""

    current_revision = RevisionSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Agent
        fields = ("id", "slug", "name", "current_revision", "archived_at", "created_at")


@extend_schema_field({"oneOf": [{"$ref": "#/components/schemas/OutputIn"}, {"type": "null"}]})
class OutputField(serializers.DictField):
    """What answers must look like; its checks are `agents.output_forms`'."""


class AgentInput(Form):
    """What a caller says of an agent. A change of pool, system_prompt, params or output makes a new revision."""

    slug = serializers.SlugField(max_length=63)
    name = serializers.CharField(max_length=200, required=False)
    pool = serializers.CharField(max_length=63)
    system_prompt = serializers.CharField(
        allow_blank=True, default="", max_length=SYSTEM_PROMPT_MAX, trim_whitespace=False
    )
    params = serializers.DictField(default=dict)
    output = OutputField(default=None, allow_null=True)
    tools = serializers.ListField(child=serializers.DictField(), default=list, help_text=TOOLS)
    limits = serializers.DictField(default=dict, help_text=LIMITS)
    context = serializers.DictField(default=dict, help_text=CONTEXT)  # type: ignore[assignment]


class AgentChange(Form):
    """A change: what is left out stays."""

    name = serializers.CharField(max_length=200, required=False)
    pool = serializers.CharField(max_length=63, required=False)
    system_prompt = serializers.CharField(
        allow_blank=True, required=False, max_length=SYSTEM_PROMPT_MAX, trim_whitespace=False
    )
    params = serializers.DictField(required=False)
    output = OutputField(required=False, allow_null=True)
    tools = serializers.ListField(child=serializers.DictField(), required=False, help_text=TOOLS)
    limits = serializers.DictField(required=False, help_text=LIMITS)
    context = serializers.DictField(required=False, help_text=CONTEXT)  # type: ignore[assignment]


class ConversationSerializer(serializers.ModelSerializer[Conversation]):
    """Messages that outlive a task, in branches."""

    agent = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True, allow_null=True)
    head = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="The message that the next one follows; null while there is none."
    )

    class Meta:
        model = Conversation
        fields = ("id", "title", "agent", "metadata", "head", "when_busy", "created_at")
        read_only_fields = ("when_busy",)


class AgentFilter(QueryForm):
    """Filters of the list of agents."""

    archived = serializers.BooleanField(required=False, default=False, help_text="True: the archived ones.")


class ConversationInput(Form):
    """What a caller says of a conversation."""

    title = serializers.CharField(max_length=200, allow_blank=True, required=False)
    agent = serializers.SlugField(required=False)
    metadata = serializers.DictField(required=False)
    when_busy = serializers.ChoiceField(
        choices=[rule.value for rule in WhenBusy],
        required=False,
        help_text="What a task does while one before it has not ended, unless its request says otherwise.",
    )


class ConversationChange(ConversationInput):
    """A change: what is left out stays."""

    head = serializers.UUIDField(required=False, help_text="The message that the next one is to follow.")


class MessageSerializer(serializers.ModelSerializer[Message]):
    """One message; `number` is the order of writing. `parents` and `siblings` come with the context, by number."""

    parent = serializers.SerializerMethodField()  # type: ignore[assignment]  # the metaclass takes it from the class
    siblings = serializers.SerializerMethodField()

    class Meta:
        model = Message
        fields = ("id", "number", "parent", "siblings", "role", "content", "interrupted", "task", "created_at")

    @extend_schema_field({"type": ["string", "null"], "format": "uuid"})
    def get_parent(self, message: Message) -> UUID | None:
        """The message that it follows; null where it begins the conversation."""
        return cast("UUID | None", self.context["parents"].get(message.parent_number))

    def get_siblings(self, message: Message) -> list[UUID]:
        """All messages that follow the same one, this one included, in the order of writing."""
        return cast("list[UUID]", self.context["siblings"][message.parent_number])


class MessageFilter(QueryForm):
    """Which messages are listed."""

    head = serializers.UUIDField(
        required=False, help_text="The branch that ends at this message, in place of the conversation's head."
    )
    all = serializers.BooleanField(required=False, default=False, help_text="True: the messages of all branches.")


class MessageInput(Form):
    """What a caller appends to a conversation."""

    role = serializers.ChoiceField(choices=Message.ROLES)
    content = serializers.CharField(trim_whitespace=False)
    after_message = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="The message that it follows, in place of the conversation's head; null: none.",
    )


class ConversationFilter(QueryForm):
    """Filters of the list of conversations."""

    agent = serializers.SlugField(required=False)


class TaskErrorSerializer(serializers.Serializer[dict[str, str]]):
    """Why a task failed."""

    code = serializers.CharField(help_text="Stable: programs may depend on it.")
    message = serializers.CharField()


class ToolCallSerializer(serializers.Serializer[dict[str, str]]):
    """A call that a task's client is to make."""

    id = serializers.CharField()
    name = serializers.CharField()
    arguments = serializers.CharField(help_text="JSON text as the model wrote it.")


class ContextUseSerializer(serializers.Serializer[dict[str, Any]]):
    """What of the messages was sent, counted by the model's own tokenizer and chat template."""

    prompt_tokens = serializers.IntegerField(help_text="Of what was sent.")
    limit = serializers.IntegerField(allow_null=True, help_text="Of prompt and answer together; null: there is none.")
    messages_sent = serializers.IntegerField()
    messages_dropped = serializers.IntegerField()


class TaskSerializer(serializers.ModelSerializer[Task]):
    """A task as it is recorded."""

    error = TaskErrorSerializer(read_only=True, allow_null=True)
    tool_calls = ToolCallSerializer(
        many=True, read_only=True, allow_null=True, help_text="What its client is to call, if it ended so."
    )
    agent = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    revision = serializers.IntegerField(source="revision.number", read_only=True)
    pool = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    usage = serializers.SerializerMethodField()
    context = ContextUseSerializer(  # type: ignore[assignment]
        source="context_use",
        read_only=True,
        allow_null=True,
        help_text="Of its last turn; null where the context has no rule.",
    )

    class Meta:
        model = Task
        fields = (
            "id", "agent", "revision", "pool", "conversation", "state", "priority", "deadline_at", "metadata", "output",
            "tool_calls", "finish_reason", "error", "usage", "context", "attempts", "rerun_of", "created_at", "started_at",
            "first_token_at", "finished_at",
        )  # fmt: skip

    def get_usage(self, task: Task) -> dict[str, int]:
        """Tokens in and out."""
        return {"prompt_tokens": task.prompt_tokens, "completion_tokens": task.completion_tokens}


METADATA = "metadata."


class TaskFilter(QueryForm):
    """Filters of the task list; `metadata.NAME` is one too."""

    state = serializers.MultipleChoiceField(choices=Task._meta.get_field("state").choices or [], required=False)
    agent = serializers.SlugField(required=False)
    conversation = serializers.UUIDField(required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)

    def refuse_unknown(self, data: Mapping[str, Any]) -> None:
        super().refuse_unknown({name: value for name, value in data.items() if not _is_metadata(name)})

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Put the asked metadata together as one object."""
        given: dict[str, str] = {name: self.initial_data[name] for name in self.initial_data if _is_metadata(name)}
        for name, value in given.items():
            if "\x00" in name + value:
                raise bad_field(name, "must not contain the character U+0000")
        return {**attrs, "metadata": {name.removeprefix(METADATA): value for name, value in given.items()}}


def _is_metadata(name: str) -> bool:
    return name.startswith(METADATA) and name != METADATA
