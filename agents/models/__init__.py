"""What tenants have: agents with immutable revisions and their tools, conversations, and the tasks and turns that run them."""

from __future__ import annotations

from agents.models.agents import Agent, AgentRevision, AnswerLength, Immutable
from agents.models.conversations import Conversation
from agents.models.messages import Message
from agents.models.publications import AppendOnly, Publication, TrafficShare
from agents.models.replies import Reply
from agents.models.summaries import Summary
from agents.models.tasks import STATES, StoredResponse, Task, Turn
from agents.models.tools import TOOL_NAME, McpServer, Tool, ToolCall

__all__ = [
    "STATES",
    "TOOL_NAME",
    "Agent",
    "AgentRevision",
    "AnswerLength",
    "AppendOnly",
    "Conversation",
    "Immutable",
    "McpServer",
    "Message",
    "Publication",
    "Reply",
    "StoredResponse",
    "Summary",
    "Task",
    "Tool",
    "ToolCall",
    "TrafficShare",
    "Turn",
]
