"""What tenants have: agents with immutable revisions, conversations, and the tasks and turns that run them."""

from __future__ import annotations

import agents.conversation_models
import agents.revision_models  # Django looks for models from here
import agents.summary_models
import agents.tool_models  # noqa: F401
from agents.models.agents import Agent, AgentRevision, AnswerLength, Immutable
from agents.models.conversations import Conversation
from agents.models.messages import Message
from agents.models.tasks import STATES, StoredResponse, Task, Turn

__all__ = [
    "STATES",
    "Agent",
    "AgentRevision",
    "AnswerLength",
    "Conversation",
    "Immutable",
    "Message",
    "StoredResponse",
    "Task",
    "Turn",
]
