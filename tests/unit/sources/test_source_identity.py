"""A file is known again by its content: grown, renamed, gzipped; and told from others that begin as it does."""

from __future__ import annotations

import gzip
import random

import pytest

from driftline.sources.discovery import Catalogue, examine


def content(seed, size):
    rng = random.Random(seed)
    return b"\n".join(b"%d" % rng.getrandbits(200) for _ in range(size // 60)) + b"\n"


def look(path, catalogue, data=None, *, add=True):
    if data is not None:
        path.write_bytes(data)
    compressed = path.suffix == ".gz"
    found = catalogue.match(examine(str(path), compressed=compressed, whole=False), str(path), compressed=compressed)
    if add and found.kind == "new":
        catalogue.add(found.known)
    return found


@pytest.fixture
def catalogue():
    return Catalogue([])


@pytest.mark.parametrize("size", [120, 900, 5_000, 400_000])
def test_a_file_that_grows_or_moves_or_is_compressed_stays_the_same(tmp_path, catalogue, size):
    data = content(1, 2 * size)
    first = look(tmp_path / "a.log", catalogue, data[:size] + b"\n")
    assert first.kind == "new"
    data = data[:size] + b"\n" + data[size:]
    for name, grown in (
        ("a.log", data),
        ("renamed.log", data),
        ("a.log", data + b"half a line"),
        ("a.log.gz", gzip.compress(data)),
    ):
        found = look(tmp_path / name, catalogue, grown)
        assert (found.kind, found.known.fingerprint) == ("same", first.known.fingerprint)


def test_half_a_line_at_the_end_may_change(tmp_path, catalogue):
    first = look(tmp_path / "a", catalogue, b"one\ntwo\nthr")
    found = look(tmp_path / "a", catalogue, b"one\ntwo\nthirteen\n")
    assert found.known.fingerprint == first.known.fingerprint


def test_files_with_the_same_beginning_are_told_apart_however_they_are_met(tmp_path):
    head = content(1, 4_000)
    files = {name: head + content(number, 3_000) for number, name in enumerate("abc")}
    catalogue = Catalogue([])
    names = {name: look(tmp_path / name, catalogue, data).known.fingerprint for name, data in files.items()}
    assert len(set(names.values())) == 3
    for name, data in files.items():
        again = look(tmp_path / f"{name}.gz", catalogue, gzip.compress(data + content(9, 50_000)))
        assert (again.kind, again.known.fingerprint) == ("same", names[name])


def test_files_that_differ_only_in_their_last_line_are_two(tmp_path, catalogue):
    data = content(1, 10_000)
    first = look(tmp_path / "a", catalogue, data + b"last 1\n")
    second = look(tmp_path / "b", catalogue, data + b"last 2\n")
    assert second.kind == "new"
    assert second.known.fingerprint != first.known.fingerprint


def test_an_older_copy_has_nothing_new(tmp_path, catalogue):
    data = content(1, 100_000)
    look(tmp_path / "a", catalogue, data)
    assert look(tmp_path / "old", catalogue, data[: data.rfind(b"\n", 0, 50_000) + 1]).kind == "part"


def test_the_same_content_twice_is_one_file(tmp_path, catalogue):
    first = look(tmp_path / "a", catalogue, b"x\n")
    assert look(tmp_path / "b", catalogue, b"x\n").known is first.known


def test_streamed_and_probed_in_places_give_the_same_identity(tmp_path):
    for size in (100, 1_023, 1_024, 1_025, 70_000, 3_000_000):
        for tail in (b"", b"half"):
            data = content(size, size) + tail
            (tmp_path / "a").write_bytes(data)
            (tmp_path / "a.gz").write_bytes(gzip.compress(data, 1))
            for whole in (True, False):
                plain = examine(str(tmp_path / "a"), compressed=False, whole=whole)
                assert plain == examine(str(tmp_path / "a.gz"), compressed=True, whole=whole)
