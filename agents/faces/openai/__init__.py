"""The OpenAI-compatible face: one file per reason, and refusals in OpenAI's form for all of them."""

from agents.faces.openai.errors import failure as failure
