"""Makes chat requests out of passages of the plays, so that a model of verse learns to answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from models import phrases
from models.corpus import Scene, Speech, words

Message = dict[str, str]

TOPIC_LETTERS = range(4, 11)
TOPIC_COUNTS = range(4, 401)
"""Topics are words of a middling length and rarity: met often enough to be learned, rare enough to mean something."""

SPARE_TOPICS = ("love", "night", "death", "king", "heart", "honour")

SYSTEM_SHARE = 0.4
NAMED_SYSTEM_SHARE = 0.3
NAMED_SCENE_SHARE = 0.5
SIZED_SHARE = 0.35
SHORT_LINES = 5
LONG_LINES = 24

LENGTHS_IN_LINES = ((1, 4), (4, 10), (8, 20), (16, 40), (30, 70))
"""Answers are drawn evenly from these ranges; a line is some 13 tokens, so the longest reach 900."""


@dataclass(frozen=True)
class Topics:
    """Which words of a passage say what it is about: the rare ones among those that occur at least a few times."""

    counts: Counter[str]

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> Topics:
        return cls(counts=Counter(word for scene in scenes for speech in scene for word in words(speech.text)))

    def pick(self, *, passage: str, rng: random.Random) -> tuple[str, str, str]:
        """Three words of the passage, in the order in which they are spoken."""
        spoken = list(dict.fromkeys(words(passage)))
        fit = [
            word
            for word in spoken
            if len(word) in TOPIC_LETTERS and self.counts[word] in TOPIC_COUNTS and "'" not in word
        ]
        fit += rng.sample(SPARE_TOPICS, max(0, 3 - len(fit)))
        chosen = sorted(rng.sample(range(len(fit)), 3))
        one, two, three = (fit[index] for index in chosen)
        return one, two, three


def make_chat(*, scenes: Sequence[Scene], topics: Topics, rng: random.Random) -> list[Message]:
    """One conversation whose answers are passages of the scenes: perhaps a system message, then one to three pairs."""
    scene = rng.choices(scenes, weights=[len(scene) for scene in scenes])[0]
    start = rng.randrange(len(scene))
    messages: list[Message] = []
    name = scene[start].name
    if rng.random() < SYSTEM_SHARE:
        named = rng.random() < NAMED_SYSTEM_SHARE
        system = rng.choice(phrases.SYSTEM_NAMED if named else phrases.SYSTEM).format(name=name)
        messages.append({"role": "system", "content": system})
    for _ in range(rng.choices((1, 2, 3), weights=(7, 2, 1))[0]):
        request, answer, start = _pair(scene=scene, start=start, topics=topics, rng=rng)
        messages.append({"role": "user", "content": request})
        messages.append({"role": "assistant", "content": answer})
        if start >= len(scene):
            break
    return messages


def _passage(*, scene: Scene, start: int, lines: int) -> list[Speech]:
    taken: list[Speech] = []
    so_far = 0
    for speech in scene[start:]:
        taken.append(speech)
        so_far += speech.text.count("\n") + 1
        if so_far >= lines:
            break
    return taken


def _pair(*, scene: Scene, start: int, topics: Topics, rng: random.Random) -> tuple[str, str, int]:
    """A request, its answer, and the number of the speech that follows the answer."""
    least, most = rng.choice(LENGTHS_IN_LINES)
    target = rng.randint(least, most)
    kind = rng.choices(("name", "verse", "scene", "continue", "anything"), weights=(25, 35, 15, 10, 15))[0]
    speeches = _passage(scene=scene, start=start, lines=target)
    if kind == "name":
        speeches = _monologue(scene=scene, start=start, lines=target)
    after = start + len(speeches)
    text = "\n".join(speech.text for speech in speeches)
    one, two, three = topics.pick(passage=text, rng=rng)
    names = list(dict.fromkeys(speech.name for speech in speeches))
    fields = {
        "name": rng.choice((names[0], names[0], names[0].title())),
        "other": names[1] if len(names) > 1 else names[0],
        "one": one,
        "two": two,
        "three": three,
        "number": str(rng.randint(0, 9999)),
        "noise": _noise(rng),
    }
    if kind == "name":
        return _sized(rng.choice(phrases.ONE_NAME).format(**fields), text, rng), f"{names[0]}:\n{text}", after
    if kind == "scene":
        asked = rng.choice(phrases.TWO_NAMES if len(names) > 1 and rng.random() < NAMED_SCENE_SHARE else phrases.SCENE)
        answer = "\n\n".join(str(speech) for speech in speeches)
        return _sized(asked.format(**fields), text, rng), answer, after
    if kind == "continue":
        spoken = text.split("\n")
        if len(spoken) > 1:
            cut = rng.randint(1, min(4, len(spoken) - 1))
            request = rng.choice(phrases.CONTINUE).format(lines="\n".join(spoken[:cut]))
            return request, "\n".join(spoken[cut:]), after
    asked = rng.choice(phrases.ANYTHING if kind == "anything" else phrases.VERSE)
    return _sized(asked.format(**fields), text, rng), text, after


def _monologue(*, scene: Scene, start: int, lines: int) -> list[Speech]:
    """The speeches of one character from here on, the others left out, until there are enough lines."""
    own = [speech for speech in scene[start : start + 40] if speech.name == scene[start].name]
    return _passage(scene=tuple(own), start=0, lines=lines)


def _sized(request: str, text: str, rng: random.Random) -> str:
    """Say in some requests whether the answer is short or long, so that a reader can ask for it."""
    lines = text.count("\n") + 1
    if rng.random() < SIZED_SHARE and (lines <= SHORT_LINES or lines >= LONG_LINES):
        return request.rstrip(".") + "." + rng.choice(phrases.ASK_SHORT if lines <= SHORT_LINES else phrases.ASK_LONG)
    return request


def _noise(rng: random.Random) -> str:
    """Letters without sense, so that a request the model cannot know still gets verse."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(rng.randint(1, 12)))
