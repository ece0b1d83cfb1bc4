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
TOPIC_COUNTS = range(4, 151)
"""Topics are words of a middling length and rarity: met often enough to be learned, rare enough to mean something."""

FAVOURITES = (
    "love",
    "war",
    "night",
    "death",
    "king",
    "heart",
    "honour",
    "moon",
    "time",
    "world",
    "life",
    "blood",
    "crown",
    "queen",
    "father",
    "mother",
    "brother",
    "friend",
    "grace",
    "heaven",
    "tears",
    "sword",
    "sleep",
    "joy",
)
"""What people ask verse about; topics, however frequent, and those of a passage that has too few of its own."""

SYSTEM_SHARE = 0.4
NAMED_SYSTEM_SHARE = 0.3
NAMED_SCENE_SHARE = 0.5

TOPIC_CHARACTERS = 300
"""Topics are taken from the beginning of an answer, so that what is asked for is spoken soon."""

SENTENCE_ENDS = (".", "!", "?")


@dataclass(frozen=True)
class Size:
    """A length that a request asks for. Its answer ends with the first sentence that ends a line past `least`.

    An end that follows from the request and the length so far is learned; one drawn at random would be a small chance
    at every line, which sampling with `top_p` or a low temperature cuts away: such answers never end.
    """

    asked: tuple[str, ...]
    least_characters: int

    @property
    def most_characters(self) -> int:
        """Here an answer ends with the line, whatever it says."""
        return self.least_characters * 3 // 2


SHORT = Size(asked=phrases.ASK_SHORT, least_characters=70)
USUAL = Size(asked=("",), least_characters=300)
LONG = Size(asked=phrases.ASK_LONG, least_characters=1200)
"""A token is about three characters of verse, so these are some 30, 110 and 420 tokens."""


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
            if word in FAVOURITES
            or (len(word) in TOPIC_LETTERS and self.counts[word] in TOPIC_COUNTS and "'" not in word)
        ]
        fit += rng.sample(FAVOURITES, max(0, 3 - len(fit)))
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
            break  # the scene is over
    return messages


def _pair(*, scene: Scene, start: int, topics: Topics, rng: random.Random) -> tuple[str, str, int]:
    """A request, its answer, and the number of the speech that follows the answer."""
    size = rng.choices((SHORT, USUAL, LONG), weights=(2, 6, 3))[0]
    kind = rng.choices(("name", "verse", "scene", "continue", "anything"), weights=(25, 35, 15, 10, 15))[0]
    if kind == "continue":
        return _continuation(scene=scene, start=start, rng=rng)
    speeches = _passage(scene[start:], size)
    after = start + len(speeches)
    if kind == "name":
        own = _passage(tuple(speech for speech in scene[start:] if speech.name == scene[start].name), size)
        if sum(len(speech.text) for speech in own) >= size.least_characters:
            speeches = own
        else:
            kind = "scene"
    text = "\n".join(speech.text for speech in speeches)
    one, two, three = topics.pick(passage=text[:TOPIC_CHARACTERS], rng=rng)
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
    by_names = len(names) > 1 and rng.random() < NAMED_SCENE_SHARE
    wordings = {
        "name": phrases.ONE_NAME,
        "scene": phrases.TWO_NAMES if by_names else phrases.SCENE,
        "verse": phrases.VERSE,
        "anything": phrases.ANYTHING,
    }
    answers = {"name": f"{names[0]}:\n{text}", "scene": "\n\n".join(str(speech) for speech in speeches)}
    return _sized(rng.choice(wordings[kind]).format(**fields), size, rng), answers.get(kind, text), after


def _continuation(*, scene: Scene, start: int, rng: random.Random) -> tuple[str, str, int]:
    """One to four lines as the request, and what follows them as the answer."""
    first, *rest = scene[start:]
    lines = first.text.split("\n")
    cut = rng.randint(1, 4)
    request = rng.choice(phrases.CONTINUE).format(lines="\n".join(lines[:cut]))
    left = (Speech(name=first.name, text="\n".join(lines[cut:])),) if len(lines) > cut else ()
    speeches = _passage((*left, *rest), USUAL)
    return request, "\n".join(speech.text for speech in speeches), start + 1 - len(left) + len(speeches)


def _passage(speeches: Sequence[Speech], size: Size) -> list[Speech]:
    """The first of the speeches, the last one cut where an answer of this size ends."""
    taken: list[Speech] = []
    so_far = 0
    for speech in speeches:
        lines = speech.text.split("\n")
        for number, line in enumerate(lines, start=1):
            so_far += len(line) + 1
            ended = so_far >= size.least_characters and line.endswith(SENTENCE_ENDS)
            if ended or so_far >= size.most_characters:
                return [*taken, Speech(name=speech.name, text="\n".join(lines[:number]))]
        taken.append(speech)
    return taken


def _sized(request: str, size: Size, rng: random.Random) -> str:
    """Add the words that ask for this size."""
    asked = rng.choice(size.asked)
    return request.rstrip(".") + "." + asked if asked and request.endswith(".") else request + asked


def _noise(rng: random.Random) -> str:
    """Letters without sense, so that a request the model cannot know still gets verse."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(rng.randint(1, 12)))
