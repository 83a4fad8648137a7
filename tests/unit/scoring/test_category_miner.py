"""The miner: which shapes become one category, whatever their order, and that numbers stay."""

import random

from driftline.core.shapes import OTHER
from driftline.scoring.categories import NEW_FROM, Categories, learn

SHAPES = {
    ("", "user ann logged in from <ip>"): 50,
    ("", "user bob logged in from <ip>"): 40,
    ("", "disk <path> is full"): 30,
    ("", "batch <n> done"): 90,
    ("", OTHER): 5,
}


def templates(found):
    return {each.number: each.template for each in found}


def test_shapes_that_differ_in_few_words_are_one_and_others_are_not():
    found = learn(SHAPES, [], {}, 1)
    assert templates(found) == {1: "batch <n> done", 2: "user <*> logged in from <ip>", 3: "disk <path> is full"}
    assert {each.number: each.matches for each in found} == {1: 90, 2: 90, 3: 30}


def test_the_order_of_shapes_does_not_matter():
    words = [f"w{chr(97 + n)}" for n in range(20)]
    rng = random.Random(4)
    shapes = {("", " ".join(rng.choices(words, k=rng.randint(2, 7)))): rng.randint(1, 9) for _ in range(400)}
    first = learn(shapes, [], {}, 1)
    items = list(shapes.items())
    for _ in range(3):
        rng.shuffle(items)
        assert learn(dict(items), [], {}, 1) == first


def test_numbers_stay_and_templates_only_become_more_general():
    first = learn({("", "user ann logged in"): 5, ("", "batch <n> done"): 9}, [], {}, 1)
    assert templates(first) == {1: "batch <n> done", 2: "user ann logged in"}
    second = learn({("", "user bob logged in"): 99, ("", "disk full"): 3}, first, {}, 3)
    assert templates(second) == {1: "batch <n> done", 2: "user <*> logged in", 3: "disk full"}
    assert [each.matches for each in second] == [0, 99, 3]


def test_a_template_that_another_snapshot_knows_has_its_number():
    taken = {("", "disk full"): 7}
    assert templates(learn({("", "disk full"): 1, ("", "a b"): 2}, [], taken, 8)) == {7: "disk full", 8: "a b"}


def test_every_shape_of_a_training_is_of_a_category_it_knows():
    finder = Categories(learn(SHAPES, [], {}, 1))
    assert all(finder.find(kind) for kind in SHAPES if kind[1] != OTHER)
    assert finder.name(("", "user zoe logged in from <ip>")) == "2"
    assert finder.name(("", OTHER)) == "-1"


def test_what_is_not_known_has_a_number_that_depends_on_it_alone():
    one, other = Categories(learn(SHAPES, [], {}, 1)), Categories([])
    kind = ("", "never seen before")
    assert one.name(kind) == other.name(kind)
    assert int(one.name(kind)) >= NEW_FROM
    assert float(int(one.name(kind))) == int(one.name(kind)) < 2**53
    assert one.template(kind) == "never seen before"
    assert one.name(("web-1", "never seen before")) != one.name(kind)


def test_partitions_have_categories_of_their_own_with_numbers_of_one_row():
    found = learn({("a", "batch <n> done"): 3, ("b", "batch <n> done"): 4, ("b", "x y"): 1}, [], {}, 1)
    assert [(each.number, each.group, each.matches) for each in found] == [(1, "a", 3), (2, "b", 4), (3, "b", 1)]


def test_the_template_with_the_most_words_counts():
    from driftline.scoring.categories import Category

    finder = Categories(
        [Category(1, "", "a <*> c"), Category(2, "", "a b <*>"), Category(3, "", "a b c"), Category(4, "", "<*> <*> d")]
    )
    assert [finder.name(("", text)) for text in ("a b c", "a x c", "a b d", "q r d")] == ["3", "1", "2", "4"]


def test_ten_thousand_shapes_that_have_nothing_in_common_are_bounded_work(monkeypatch):
    monkeypatch.setattr("driftline.scoring.categories.COMPARED_MOST", 1000)
    shapes = {("", " ".join(chr(97 + (n * k) % 26) * 3 + str(n) for k in range(4))): 1 for n in range(2000)}
    assert sum(each.matches for each in learn(shapes, [], {}, 1)) == 2000
