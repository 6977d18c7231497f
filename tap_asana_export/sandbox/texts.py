"""Names and prose of realistic length in many scripts, with characters that break parsers."""

from __future__ import annotations

import random
from html import escape

_WORDS_TEXT = """
about account after agree align annual answer approve archive article asset attach audience audit await
backlog balance before board brand brief budget build campaign capacity carry change channel check client
close collect comment compare compile confirm contact content contract copy cost cover create customer daily
data decide deliver demand depend design detail develop discuss document draft early edit effort email
engineer estimate event evidence example expect export feature feedback figure final finance finish fix
focus follow forecast form forward goal group growth handle hire idea image impact import improve include
inform input invite invoice issue item join kickoff label launch layout lead learn legal letter limit link
list local manage market measure meeting member merge message method metric milestone model monthly move
name need notes number offer office onboard open option order outline owner page partner people phase pilot
plan platform policy portal prepare present price print priority process product project proposal prototype
publish purchase quality quarter question quote reach ready reason receive record reduce region release
remote remove rename renew report request research resolve resource result review revise risk roadmap
rollout room sales sample schedule scope screen section security segment send series service session share
ship sign site size solve source space sponsor sprint staff stage standard start status story strategy
strict submit summary supplier support survey switch table target task team template test theme ticket
timeline title tool topic track trade train travel trend trial update upload user value vendor version video
vision visit weekly wording work write yearly
"""

_UNUSUAL = (
    "a line\u2028separator, a paragraph\u2029separator, a next\u0085line",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🚀",
    "e\u0301 a\u0308 n\u0303 — combining, é ä ñ — composed",
    "\"double\" 'single' “curly” \\backslash\\ C:\\new\\table",
    "a\ttab\tand\r\na line of Windows",
    "שלום עולם, مرحبا بالعالم",
    "日本語のテキスト、한국어 문장, 中文句子",
    "zero\u200bwidth \ufeffmark \u202eoverride\u202c",
    "<b>not bold</b> &amp; &lt;",
    "\\u0000 is six characters, \x1f and \x7f are one each",
    "Zażółć gęślą jaźń, Größe, naïve, İstanbul, ﬁ",
    '{"json": ["in", \'text\']}',
)

_FIRST_NAMES_TEXT = """
Ada Björn Chloé Dmitri Elif Fatima Gaël Hana Inés João Kofi Linh Mei Noor Olga Priya Rui Søren Tariq Zoë
"""
_LAST_NAMES_TEXT = """
Abe Brown Çelik Dubois Evans Fischer García Haddad Ito Jensen Kowalski Lévy Müller Nguyễn Okafor Silva
"""

_WORDS, _FIRST_NAMES, _LAST_NAMES = _WORDS_TEXT.split(), _FIRST_NAMES_TEXT.split(), _LAST_NAMES_TEXT.split()
_SENTENCES = 3000
_LONG = 1_000_000


class Texts:
    """A pool of texts, which depends on the seed only; any number selects a text."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed).random

        def words(least: int, most: int) -> str:
            count = least + int(draw() * (most - least + 1))
            return " ".join(_WORDS[int(draw() * len(_WORDS))] for _ in range(count))

        def sentence(number: int) -> str:
            plain = words(5, 14).capitalize() + "."
            return f"{plain} {_UNUSUAL[number // 12 % len(_UNUSUAL)]}" if number % 12 == 0 else plain

        self._sentences = [sentence(number) for number in range(_SENTENCES)] * 2
        self._titles = [words(2, 6).capitalize() for _ in range(997)]
        self._titles[::25] = [f"{title} {_UNUSUAL[n % len(_UNUSUAL)]}" for n, title in enumerate(self._titles[::25])]

    def title(self, number: int) -> str:
        """Return a title of a few words."""
        return self._titles[number % len(self._titles)]

    def prose(self, number: int, sentences: int) -> str:
        """Return sentences in paragraphs of four."""
        start = number % _SENTENCES
        chosen = self._sentences[start : start + sentences]
        return "\n\n".join(" ".join(chosen[at : at + 4]) for at in range(0, sentences, 4))

    def long(self, number: int) -> str:
        """Return a megabyte of text."""
        whole = "\n".join(self._sentences)
        start = number * 997 % len(whole)
        return (whole[start:] + whole * (_LONG // len(whole) + 1))[:_LONG]


def person(number: int) -> str:
    """Return a first and a last name, with a number once all combinations are used."""
    first, rest = _FIRST_NAMES[number % len(_FIRST_NAMES)], number // len(_FIRST_NAMES)
    last, namesakes = _LAST_NAMES[(number + rest) % len(_LAST_NAMES)], rest // len(_LAST_NAMES)
    return f"{first} {last} {namesakes + 1}" if namesakes else f"{first} {last}"


def html(text: str) -> str:
    """Return a text as Asana's rich text: a `<body>` with escaped markup."""
    return f"<body>{escape(text, quote=False)}</body>"
