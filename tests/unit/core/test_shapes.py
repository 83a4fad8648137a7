"""Shapes of messages: what varies is masked, what tells kinds apart stays, and nothing hostile costs much."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.core.shapes import EMPTY, LONGEST, TOKENS, WORD, pattern, shape, terms


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Accepted password for root from 10.0.0.1 port 22 ssh2", "Accepted password for root from <ip> port <n> ssh<n>"),
        ("2026-01-01T10:00:00.123Z ERROR [worker-3] took 12ms", "<time> ERROR worker-<n> took <n>"),
        ("2026-03-01 12:34:56,789 INFO done", "<time> INFO done"),
        ("Nov  3 04:05:06 sshd[12]: Connection closed by 2001:db8::1", "<time> <n> <time> sshd <n> Connection closed by <ip>"),
        ('failed to open "/var/log/x y" in /tmp/a.txt', "failed to open <str> in <path>"),
        ("user=ann@example.com id=550e8400-e29b-41d4-a716-446655440000", "user <email> id <uuid>"),
        ("session a1b2c3d4z9y8 at 0xdeadbeef is deadbeef12", "session <id> at <hex> is <hex>"),
        ("C:\\Windows\\x.dll loaded from https://a.example/b?c=1", "<path> loaded from <url>"),
        ("ids 1, 2, 3, 4 of 5", "ids <n> of <n>"),
        ("Exception in thread main\n  at foo.Bar(Bar.java:12)", "Exception in thread main"),
        ("=====\nStarted", "Started"),
        ('{"level":"error","msg":"failed to bind port 80"}', "level error msg failed to bind port <n>"),
        ("错误：连接 10.1.1.1 失败 ٣", "错误 连接 <ip> 失败 <n>"),
        ("<*> <n> (empty)", "n empty"),
        ("", EMPTY),
        ("\x00\x1b …", EMPTY),
    ],
)
def test_a_message_becomes_what_it_has_in_common_with_others(message, expected):
    assert shape(message) == expected


def test_messages_that_differ_in_numbers_only_are_one():
    assert len({shape(f"job {n} of host-{n} took {n * 17} ms, {n}.{n}.{n}.{n}:{n}") for n in range(1, 2000, 7)}) == 1


@settings(max_examples=200)
@given(st.text(max_size=300) | st.text("ab0 :./\\\"'@-<>[]{}\n\x00", max_size=3000))
def test_any_text_has_a_bounded_shape_that_is_always_the_same(message):
    found = shape(message)
    assert found == shape(message)
    words = found.split()
    assert 1 <= len(words) <= TOKENS
    assert found == " ".join(words)
    assert max(map(len, words)) <= WORD


@pytest.mark.parametrize("part", ["a", "0:", "::", "@", '"', "'", "a.", "x@y", "/", "a/", "\\", "0-", "ff:", "a://", "é"])
def test_ten_thousand_characters_cost_no_more_than_the_beginning(part):
    assert shape(part * 10_000) == shape((part * 10_000)[: 4 * LONGEST + 2 * len(part)])


def test_terms_and_regex_are_those_of_the_words_that_stay():
    assert terms("Accepted for <*> from <ip> ssh<n> a.b") == "Accepted for from a.b"
    assert pattern("Accepted for <*> from <ip> ssh<n> a.b") == r".*?Accepted.+?for.+?from.+?a\.b.*"
    assert (terms("<n>"), pattern("<n>"), pattern(EMPTY)) == ("", ".*", ".*")
