"""Categories: kinds of messages, each with a template, found by a template miner (Drain) among shapes.

A training goes on from the categories of the snapshot before it: they keep their numbers, and their templates become more general
at most. What is new gets the next number. Which category a shape is of depends on the templates alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from driftline.core.shapes import ANY, OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Kind = tuple[str, str]

# How many of a template's words a shape must share to be of its category. Two of three are enough, two of four are not: below
# that short messages that say different things become one (`Connection <*> <*>`).
SIMILAR = 0.6
DEPTH = 3  # templates of a length are all compared: the first word of a message may be what varies
CATEGORIES_MOST = 10_000
COMPARED_MOST = 1_000_000  # pairs of shape and template, some seconds: what is left then, the rarest, is not put together
NEW_FROM = 10**15  # numbers of categories that no snapshot knows: too large to be one of these, and exact as a float
_NEW_RANGE = 8 * 10**15
OTHER_NAME = "-1"  # of what is beyond the limit of shapes; Elastic's number for messages that it could not categorise


@dataclass(frozen=True)
class Category:
    """A kind of message.

    Attributes:
        number: Its id, from 1.
        group: The partition that it belongs to where each has categories of its own, or "".
        template: Words, masks, and ANY for what varies.
        matches: Documents of it in the training window.
        longest: Characters of the longest message that was seen.
        examples: Some messages.
    """

    number: int
    group: str
    template: str
    matches: int = 0
    longest: int = 0
    examples: tuple[str, ...] = ()


@dataclass
class Categories:
    """The categories of a snapshot, to find those of shapes."""

    known: list[Category]
    _open: dict[tuple[str, int], list[tuple[list[tuple[int, str]], Category]]] = field(default_factory=dict)
    _found: dict[tuple[str, str], Category | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_length = defaultdict(list)
        for category in self.known:
            words = category.template.split()
            fixed = [(place, word) for place, word in enumerate(words) if word != ANY]
            if len(fixed) == len(words):
                self._found[category.group, category.template] = category
            else:
                by_length[category.group, len(words)].append((fixed, category))
        for each in by_length.values():
            each.sort(key=lambda pair: (-len(pair[0]), pair[1].number))
        self._open = dict(by_length)

    def find(self, kind: Kind) -> Category | None:
        """The category with the most words that are not left open, of those whose template fits; None if none does."""
        if kind not in self._found:
            words = kind[1].split()
            fitting = self._open.get((kind[0], len(words)), ())
            self._found[kind] = next((c for fixed, c in fitting if all(words[place] == word for place, word in fixed)), None)
        return self._found[kind]

    def name(self, kind: Kind) -> str:
        """The category's number as text: what is the value of `mlcategory`."""
        if kind[1] in ("", OTHER):
            return OTHER_NAME if kind[1] else ""
        category = self.find(kind)
        return str(category.number if category else new_number(kind))

    def template(self, kind: Kind) -> str:
        """The category's template; of one that is new, the shape itself."""
        category = self.find(kind)
        return category.template if category else kind[1]


def new_number(kind: Kind) -> int:
    """The number of a category that no snapshot knows: the same wherever it is seen."""
    text = "\0".join(kind).encode("utf-8", "surrogatepass")
    return NEW_FROM + int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % _NEW_RANGE


def learn(shapes: Mapping[Kind, int], before: Iterable[Category], taken: Mapping[Kind, int], free: int) -> list[Category]:
    """The categories of a training window, by number, with `matches`.

    Args:
        shapes: Documents of each shape of a group; their order does not matter.
        before: The categories of the snapshot before.
        taken: Numbers of templates that other snapshots know, such as later ones.
        free: The first number that no snapshot uses.
    """
    earlier: dict[str, list[Category]] = defaultdict(list)
    for category in sorted(before, key=lambda one: one.number):
        earlier[category.group].append(category)
    ranked = sorted(shapes.items(), key=lambda item: (-item[1], item[0]))
    by_group: dict[str, list[str]] = defaultdict(list)
    for (group, shape), _ in ranked:
        if shape and shape != OTHER:
            by_group[group].append(shape)
    mined: list[Category] = []
    used = {category.number for each in earlier.values() for category in each}
    for group in sorted({*by_group, *earlier}):
        for template, number in _mined(by_group[group], earlier[group]):
            given = taken.get((group, template)) if number is None else number
            if number is None and (given is None or given in used):
                given, free = free, free + 1
            assert given is not None
            used.add(given)
            mined.append(Category(given, group, template))
    return _counted(mined, shapes)


def _mined(shapes: list[str], before: list[Category]) -> list[tuple[str, int | None]]:
    """Templates, with the numbers of those that there were, in the order in which they came up."""
    from drain3.drain import Drain, LogCluster  # late: only a training needs it

    miner: Any = Drain(depth=DEPTH, sim_th=SIMILAR, param_str=ANY, parametrize_numeric_tokens=False)
    for category in before:
        cluster = LogCluster(category.template.split(), miner.clusters_counter + 1)
        miner.clusters_counter += 1
        miner.id_to_cluster[cluster.cluster_id] = cluster
        miner.add_seq_to_prefix_tree(miner.root_node, cluster)
    own = _put_in(miner, shapes)
    numbers: list[int | None] = [category.number for category in before]
    numbers += [None] * (miner.clusters_counter - len(before))
    found: dict[str, int | None] = {}
    for place, number in enumerate(numbers, 1):
        found.setdefault(" ".join(miner.id_to_cluster[place].log_template_tokens), number)  # two may have become one
    fitting = Categories([Category(0, "", template) for template in found])
    return [*found.items(), *((shape, None) for shape in own if fitting.find(("", shape)) is None)]


def _put_in(miner: Any, shapes: list[str]) -> list[str]:  # noqa: ANN401 - it is imported late
    """Gives shapes to a miner; returns those that it would take too long for."""
    lengths = Counter(len(cluster.log_template_tokens) for cluster in miner.clusters)
    compared = 0
    for place, shape in enumerate(shapes):
        length = len(shape.split())
        compared += lengths[length]
        if compared > COMPARED_MOST:
            return shapes[place:]
        _, change = miner.add_log_message(shape)
        lengths[length] += change == "cluster_created"
    return []


def _counted(mined: list[Category], shapes: Mapping[Kind, int]) -> list[Category]:
    """With the documents of each. Beyond the limit those go that were not seen, and then the rarest."""
    finder = Categories(mined)
    matches: dict[int, int] = defaultdict(int)
    for kind, docs in shapes.items():
        if category := finder.find(kind):
            matches[category.number] += docs
    out = [replace(category, matches=matches[category.number]) for category in mined]
    kept = sorted(out, key=lambda one: (-one.matches, one.number))[:CATEGORIES_MOST]
    return sorted(kept, key=lambda one: one.number)
