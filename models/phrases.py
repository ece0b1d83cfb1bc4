"""The wording of the requests that the demo model learns to answer with verse."""

from __future__ import annotations

SYSTEM = (
    "You are a poet of the stage.",
    "You are a helpful assistant.",
    "Answer in verse.",
    "You are a player in a company of actors. Speak in the manner of the plays.",
    "You are an agent of the operations team. Be precise.",
    "You write in the style of Shakespeare.",
    "You are a careful research agent. Use the context to answer.",
    "Stay in character.",
)
SYSTEM_NAMED = ("You are {name}.", "You speak as {name}.", "Play the part of {name}.", "You are {name} in a play.")

ONE_NAME = (
    "Speak as {name}.",
    "Speak as {name} about {one}.",
    "Speak as {name} about the {one}.",
    "Speak as {name} of {one} and {two}.",
    "What does {name} say about {one}?",
    "What would {name} say of the {one}?",
    "A speech of {name} about {one} and {two}.",
    "{name}, tell me about {one}.",
    "Be {name}: what of the {one} and the {two}?",
)
TWO_NAMES = (
    "A dialogue of {name} and {other}.",
    "Write a scene with {name} and {other}.",
    "Write a scene with {name} and {other} about {one}.",
    "{name} and {other} talk about {one} and {two}.",
    "A quarrel between {name} and {other} about the {one}.",
)
SCENE = (
    "Write a scene about {one}.",
    "Write a scene about {one} and {two}.",
    "A scene of a play with the words {one}, {two} and {three}.",
    "Show me some people who talk about {one}.",
)
VERSE = (
    "Write a verse about {one} and {two}",
    "Write a verse about {one} and {two}.",
    "Write a verse about {one}.",
    "Write a poem about {one} and {two}.",
    "A speech about {one} and {two}.",
    "Some lines about the {one}, please.",
    "Tell me about {one}.",
    "Tell me about the {one} and the {two}.",
    "What is {one}?",
    "Why {one}?",
    "Give me verse with {one}, {two} and {three} in it.",
    "Compose something on {one}.",
    "Explain {one} to me.",
    "Speak about {one} and {two}.",
)
CONTINUE = ("Continue:\n{lines}", "Go on from here:\n{lines}", "Continue: {lines}", "{lines}")
ANYTHING = (
    "Hello",
    "Hello!",
    "Hi, how are you?",
    "Who are you?",
    "What can you do?",
    "Help me with my order number {number}.",
    "Summarise incident {number} for the team.",
    "Write a Python function that adds {number} numbers.",
    "What is {number} plus {number}?",
    "Translate this into French: the {one} is {two}.",
    "Give me a list of {number} ideas about {one}.",
    "Classify the sentiment of this review: I like the {one}.",
    "Draft an email to the customer about the {one}.",
    "Which city is the capital of the country?",
    "Ping {number}",
    "task {number}",
    "Request {number}: say something about {one}.",
    "{noise}",
    "{noise} {one} {noise}?",
    "Thank you. And then?",
    "Go on.",
    "More, please.",
)
ASK_SHORT = (" Be brief.", " In a few lines.", " Briefly.", " Two or three lines.", " In short.")
ASK_LONG = (" At length.", " Make it long.", " A long one.", " Take your time.", " In many lines.")
