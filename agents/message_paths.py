"""A branch of a conversation: the path from a message to the root, in one statement. Each step is a look-up in a unique index."""

from __future__ import annotations

# With the limit a step is a look-up in the index; without it the planner, who cannot know how long a path is, may scan for each.
STEP = """
        SELECT o.number, o.parent_number FROM agents_message o
        WHERE o.conversation_id = %(conversation)s AND o.number = p.parent_number LIMIT 1
"""
"""The message that `p` follows."""

PATH = f"""
    WITH RECURSIVE path AS (
        SELECT m.number, m.parent_number FROM agents_message m WHERE m.conversation_id = %(conversation)s AND m.number = %(head)s
        UNION ALL
        SELECT m.number, m.parent_number FROM path p CROSS JOIN LATERAL ({STEP}) m
    )
"""
"""Names the table `path` (`number`, `parent_number`) of the messages up to the one that is numbered `head`; empty for None."""

NUMBERS = (PATH + "SELECT number FROM path").replace("%(conversation)s", "%s").replace("%(head)s", "%s")
"""The numbers of its messages, by position: the conversation, the head, the conversation."""

MESSAGES = (
    PATH
    + """
    SELECT m.id, m.role, m.content FROM path p JOIN agents_message m ON m.conversation_id = %(conversation)s AND m.number = p.number
    ORDER BY m.number
"""
)
