"""Shapes: what messages of one kind have in common. A pure function of the message: what varies in it becomes a mask.

Only the first line with a letter counts, and of that no more than a beginning. Punctuation is dropped; digits that stand together
are one, so that what differs in numbers only is looked at once.
"""

from __future__ import annotations

import re
from functools import lru_cache

VERSION = 1  # of the rules: what is kept of other rules is not used
LONGEST = 1000  # characters that are looked at, once digits are one: Elastic's limit for examples, and ten times a usual message
TOKENS = 50  # words and masks of a shape: who says more has said what it is by then
WORD = 64  # characters of a word
ANY = "<*>"  # in a template: anything
EMPTY = "(empty)"  # the shape of a message without a word
OTHER = "(other)"  # of messages beyond the limit of shapes that are told apart

_DIGITS = re.compile(r"\d+")
_LETTER = re.compile(r"[^\W\d_]")
# Every alternative begins where the one for words could begin as well and goes no further than that or the next space, so that
# a hostile message costs no more than its length times their number.
_TOKEN = re.compile(
    r"""
      (?P<quoted>"[^"]*"|(?<!\w)'[^']*'(?!\w))
    | (?P<url>[a-zA-Z][\w+.-]*://[^\s"'<>]*)
    | (?P<time>0[-/]0[-/]0(?:[T_]0:0(?::0(?:[.,]0)?)?)?(?:Z|[+-]0(?::0)?)?(?!\w)
        |0/[A-Z][a-z]{2}/0(?::0)*(?!\w)
        |0:0(?::0)?(?:[.,]0)?Z?(?![\w:]))
    | (?P<ip>0\.0\.0\.0(?::0)?(?:/0)?(?![\w.])|(?=[0a-fA-F]*:[0a-fA-F]*:)[0a-fA-F]*(?::[0a-fA-F]*){2,7}(?:%\w+)?(?![\w:]))
    | (?P<path>(?<!\w)(?:[A-Za-z]:|\.{1,2}|~)?[/\\](?=[\w.])[^\s"'<>,;()\[\]{}|=]+)
    | (?P<word>\w[\w.@/\\+%$~-]*)
    """,
    re.VERBOSE,
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*")
_UUID = re.compile(r"[0a-fA-F]+(?:-[0a-fA-F]+){4}")
_HEX = re.compile(r"0x[0a-fA-F]*|[0a-f]{2,}|[0A-F]{2,}")
_NUMBER = re.compile(r"\$?0(?:[.,]0)*(?:[eE][-+]?0)?(?:%|[a-zA-Zµ]{1,3})?")
# A weekday or a month is part of a time stamp.
_CALENDAR = frozenset(
    [
        "Mon",
        "Tue",
        "Wed",
        "Thu",
        "Fri",
        "Sat",
        "Sun",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "Jan",
        "Feb",
        "Mar",
        "Apr",
        "May",
        "Jun",
        "Jul",
        "Aug",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
        "January",
        "February",
        "March",
        "April",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
)


def shape(message: str) -> str:
    """What a message has in common with others of its kind: `Accepted password for root from <ip> port <n>`."""
    return _masked(_DIGITS.sub("0", _line(message)[: 4 * LONGEST])[:LONGEST])


def _line(message: str) -> str:
    """The first line with a letter."""
    if "\n" not in message:
        return message
    return next((line for line in message.splitlines() if _LETTER.search(line)), message)


@lru_cache(maxsize=65_536)
def _masked(text: str) -> str:
    json = text.lstrip().startswith("{")  # what is quoted there is all that is said
    tokens: list[str] = []
    for found in _TOKEN.finditer(text):
        kind, said = found.lastgroup, found.group()
        if kind == "word":
            token = _word(said)
        elif kind == "quoted" and json:
            for part in said.split():
                _add(tokens, _word(part.strip("\"'.,:;")))
            continue
        else:
            token = "<str>" if kind == "quoted" else f"<{kind}>"
        _add(tokens, token)
        if len(tokens) >= TOKENS:
            break
    return " ".join(tokens[:TOKENS]) or EMPTY


def _add(tokens: list[str], token: str) -> None:
    """Several of the same kind are one: lists are of any length."""
    if token and not (tokens and token[0] == "<" and tokens[-1] == token):
        tokens.append(token)


@lru_cache(maxsize=65_536)
def _word(word: str) -> str:
    """A word as it is, or the mask of what it stands for."""
    word = word.rstrip(".@/\\+~-$")
    if "@" in word and _EMAIL.fullmatch(word):
        return "<email>"
    if word.count("/") + word.count("\\") > 1:
        return "<path>"
    if word in _CALENDAR:
        return "<time>"
    if "0" not in word:
        return word[:WORD]
    for pattern, mask in ((_NUMBER, "<n>"), (_UUID, "<uuid>"), (_HEX, "<hex>")):
        if pattern.fullmatch(word):
            return mask
    if word.count("0") > 1 and len(word) >= 8 and word.isalnum():
        return "<id>"
    return word.replace("0", "<n>")[:WORD]


def terms(template: str) -> str:
    """The words of a template, without what stands for others: Elastic's `terms` of a category."""
    return " ".join(word for word in template.split() if "<" not in word and word not in (EMPTY, OTHER))


def pattern(template: str) -> str:
    """A regular expression that its messages match: Elastic's `regex` of a category."""
    words = [re.escape(word) for word in terms(template).split()]
    return ".*?" + ".+?".join(words) + ".*" if words else ".*"
