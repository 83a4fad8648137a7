"""The series store: whatever happens to the data or to its files, a read gives what the index holds."""

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import fsspec
import numpy as np
import pytest

from driftline.core.errors import ClusterDownError
from driftline.core.job import Job
from driftline.core.paths import staging_uri
from driftline.core.timespan import Window
from driftline.elastic import query, read
from driftline.elastic.query import splits
from driftline.elastic.read import Cells
from driftline.pipeline import store
from driftline.pipeline.store import read_stored

START = datetime(2026, 3, 1, 22, tzinfo=UTC)
HOURS = 30  # over midnight


def job(index, span="1h", **detector):
    detector = {"function": "count", "partition_field_name": "host", **detector}
    return Job.parse(
        {"job_id": "stored", "bucket_span": span, "detectors": [detector], "datafeed": {"indices": [index]}}, where="t"
    )


@pytest.fixture
def index(client, prefix):
    name = f"{prefix}stored"
    mapped(client, name)
    return name


def mapped(client, index):
    properties = {"@timestamp": {"type": "date"}, "host": {"type": "keyword"}, "value": {"type": "double"}}
    client.indices.create(index=index, mappings={"properties": properties}, settings={"number_of_shards": 2})


def put(client, index, documents):
    """Documents by id: (minute, host, value)."""
    operations = []
    for name, (minute, host, value) in documents.items():
        stamp = int((START + timedelta(minutes=minute)).timestamp() * 1000)
        operations += [{"index": {"_index": index, "_id": name}}, {"@timestamp": stamp, "host": host, "value": value}]
    client.bulk(operations=operations, refresh=True)


def expected(documents, window, what):
    """What the index holds, counted by hand: (host → values, documents a bucket)."""
    hours = window.buckets(timedelta(hours=1))
    first = (window.start - START) // timedelta(hours=1)
    inside = [(minute // 60 - first, host, value) for minute, host, value in documents.values()]
    inside = [(hour, host, value) for hour, host, value in inside if 0 <= hour < hours]
    docs = np.bincount([hour for hour, _, _ in inside], minlength=hours)
    found = {}
    for host in sorted({host for _, host, _ in inside}):
        values = np.full(hours, np.nan)
        for hour in range(hours):
            mine = [value for at, name, value in inside if (at, name) == (hour, host)]
            if mine:
                values[hour] = len(mine) if what == "count" else max(mine)
            elif what == "count" and not np.isnan(values[:hour]).all():
                values[hour] = 0.0
        found[host] = values
    return found, docs


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_to_documents_a_read_gives_what_there_is(client, index, state, monkeypatch, seed):
    monkeypatch.setattr(store, "PARTS", [8, 1, 2, 3][seed])  # how often files are made one
    rng = random.Random(seed)
    jobs = {"count": job(index), "max": job(index, function="max", field_name="value")}
    documents = {}
    for step in range(14):
        news = {
            f"{step}-{n}": (rng.randrange(HOURS * 60), rng.choice("abc"), rng.randrange(100)) for n in range(rng.randrange(30))
        }
        changed = {
            name: (*documents[name][:2], rng.randrange(100)) for name in rng.sample(sorted(documents), len(documents) // 20)
        }
        put(client, index, news | changed | {"first": (0, "a", 1)})
        documents |= news | changed | {"first": (0, "a", 1)}
        for name in rng.sample(sorted(documents), len(documents) // 10):
            client.delete(index=index, id=name)
            del documents[name]
        client.indices.refresh(index=index)
        first = rng.randrange(HOURS - 1)
        last = rng.randrange(first + 1, HOURS)
        window = Window(START + timedelta(hours=first), START + timedelta(hours=last))
        for what, one in jobs.items():
            frame = read_stored(client, one, window)
            values, docs = expected(documents, window, what)
            assert [key.partition_value for key in frame.keys] == sorted(values)
            np.testing.assert_array_equal(frame.values, np.array(list(values.values())).reshape(len(values), last - first))
            np.testing.assert_array_equal(frame.docs, docs)


def told(cells):
    return [(cells.keys[row], *rest) for row, *rest in zip(cells.row, cells.bucket, cells.docs, cells.values["m0"], strict=True)]


@pytest.mark.parametrize("page", [1, 2, 7, 89, 90, 91])
def test_pages_of_any_size_and_single_buckets_give_what_one_page_gives(client, index, monkeypatch, page):
    documents = {str(n): (n * 20, "abc"[n % 3], n) for n in range(3 * HOURS)}
    put(client, index, documents)
    one = job(index, function="max", field_name="value")
    (split,) = splits(one)
    window = Window(START, START + timedelta(hours=HOURS))
    whole = told(read.read_cells(client, one, split, window))
    assert len(whole) == 90
    assert {value for *_, value in whole} == set(range(90))
    monkeypatch.setattr(query, "PAGE", page)
    monkeypatch.setattr(read, "PAGE", page)
    assert told(read.read_cells(client, one, split, window)) == whole
    hours = [Window(START + timedelta(hours=hour), START + timedelta(hours=hour + 1)) for hour in range(HOURS)]
    assert [each for hour in hours for each in told(read.read_cells(client, one, split, hour))] == whole


def test_a_single_bucket_begins_where_the_window_does(client, index):
    put(client, index, {"before": (9, "a", 1), "first": (10, "a", 2), "last": (69, "b", 3), "after": (70, "a", 4)})
    one = job(index, function="max", field_name="value")
    window = Window(START + timedelta(minutes=10), START + timedelta(minutes=70))
    cells = read.read_cells(client, one, splits(one)[0], window)
    assert [(key[0], value) for key, _, _, value in told(cells)] == [("a", 2), ("b", 3)]


def counted_reads(monkeypatch):
    reads = []

    def counting(client, job, split, window, *more):
        reads.append(window)
        return store_read(client, job, split, window, *more)

    store_read = store.read_cells
    monkeypatch.setattr(store, "read_cells", counting)
    return reads


def test_a_bucket_is_read_once_until_it_changes(client, index, state, monkeypatch):
    put(client, index, {f"d{n}": (n * 20, "ab"[n % 2], 1) for n in range(80)})
    window = Window(START, START + timedelta(hours=26))
    reads = counted_reads(monkeypatch)
    first = read_stored(client, job(index), window)
    assert [str(one) for one in reads] == [str(window)]
    reads.clear()
    other = job(index).model_copy(update={"job_id": "another"})
    for again in (job(index), other):
        np.testing.assert_array_equal(read_stored(client, again, window).values, first.values)
    assert reads == []
    put(client, index, {"late": (65, "c", 1)})
    late = read_stored(client, job(index), window)
    assert [str(one) for one in reads] == [str(Window(START + timedelta(hours=1), START + timedelta(hours=2)))]
    assert [key.partition_value for key in late.keys] == ["a", "b", "c"]


def hourly(factor, host):
    return {f"d{hour}": (hour * 60, host, factor * hour) for hour in range(26)}


@pytest.mark.parametrize("way", ["anew", "alias"])
def test_another_index_of_the_same_name_is_read(client, prefix, index, state, way):
    """Its documents have the numbers that those of the first had."""
    window = Window(START, START + timedelta(hours=26))
    name = index
    if way == "alias":
        name = f"{prefix}alias"
        client.indices.put_alias(index=index, name=name)
    put(client, index, hourly(1, "a"))
    one = job(name, function="max", field_name="value")
    assert read_stored(client, one, window).values.tolist() == [list(range(26))]
    if way == "anew":
        client.indices.delete(index=index)
    else:
        index = f"{prefix}second"
    mapped(client, index)
    put(client, index, hourly(2, "b"))
    if way == "alias":
        moved = {"index": f"{prefix}*", "alias": name}
        client.indices.update_aliases(actions=[{"remove": moved}, {"add": {**moved, "index": index}}])
    frame = read_stored(client, one, window)
    assert [key.partition_value for key in frame.keys] == ["b"]
    assert frame.values.tolist() == [list(range(0, 52, 2))]


def test_a_new_index_beside_others_leaves_their_hours_as_they_are(client, prefix, index, state, monkeypatch):
    put(client, index, hourly(1, "a"))
    one, window = job(f"{prefix}*"), Window(START, START + timedelta(hours=28))
    read_stored(client, one, window)
    reads = counted_reads(monkeypatch)
    mapped(client, f"{prefix}next")
    put(client, f"{prefix}next", {"n0": (26 * 60, "a", 1), "n1": (27 * 60, "a", 1)})
    assert read_stored(client, one, window).docs.tolist() == [1] * 28
    assert [str(read) for read in reads] == [str(Window(START + timedelta(hours=26), START + timedelta(hours=28)))]


def test_an_index_that_cannot_answer_is_not_passed_over(client, prefix, index, state):
    put(client, index, hourly(1, "a"))
    put(client, f"{prefix}text", {"t": (60, "a", 1)})  # its hosts are text, which cannot be grouped
    with pytest.raises(ClusterDownError, match=r"1 of 3 shards .*Fielddata is disabled"):
        read_stored(client, job(f"{prefix}*"), Window(START, START + timedelta(hours=26)))


def test_who_may_not_know_which_index_it_is_reads_again(client, index, state, monkeypatch):
    put(client, index, hourly(1, "a"))
    window = Window(START, START + timedelta(hours=26))
    monkeypatch.setattr("driftline.elastic.read._births", lambda *_: {})
    reads = counted_reads(monkeypatch)
    for number in range(3):
        assert read_stored(client, job(index), window).docs.sum() == 26
        assert len(reads) == number + 1


@pytest.mark.parametrize("harm", ["gone", "emptied", "manifest", "folder"])
def test_what_is_damaged_is_read_again(client, index, state, harm):
    put(client, index, {f"d{n}": (n * 20, "ab"[n % 2], 1) for n in range(80)})
    window = Window(START, START + timedelta(hours=26))
    whole = read_stored(client, job(index), window)
    filesystem, root = fsspec.core.url_to_fs(staging_uri("store"))
    files = filesystem.find(root)
    assert len(files) == 4  # two days, each with a manifest
    if harm == "folder":
        shutil.rmtree(root)
    for path in files if harm != "folder" else []:
        if harm == "manifest" and path.endswith("manifest.json"):
            filesystem.pipe_file(path, b'{"marks": 7')
        elif harm == "gone" and path.endswith(".parquet"):
            filesystem.rm_file(path)
        elif harm == "emptied" and path.endswith(".parquet"):
            filesystem.pipe_file(path, b"")
    again = read_stored(client, job(index), window)
    np.testing.assert_array_equal(again.values, whole.values)
    assert again.keys == whole.keys


def test_readers_at_once_get_what_there_is_though_somebody_deletes_it(client, index, state, monkeypatch):
    monkeypatch.setattr(store, "PARTS", 2)
    documents = {f"d{n}": (n * 7, "abc"[n % 3], n) for n in range(240)}
    put(client, index, documents)
    one = job(index, function="max", field_name="value")
    filesystem, root = fsspec.core.url_to_fs(staging_uri("store"))
    rng = random.Random(0)

    def read_some(number):
        first = rng.randrange(20)
        window = Window(START + timedelta(hours=first), START + timedelta(hours=rng.randrange(first + 1, 28)))
        if number in {13, 26}:
            for path in rng.sample(found := sorted(filesystem.find(root)), len(found) // 2):
                with suppress(FileNotFoundError):
                    filesystem.rm_file(path)
        return window, read_stored(client, one, window)

    with ThreadPoolExecutor(4) as pool:
        for window, frame in pool.map(read_some, range(40)):
            values, docs = expected(documents, window, "max")
            np.testing.assert_array_equal(frame.values, np.array(list(values.values())))
            np.testing.assert_array_equal(frame.docs, docs)


def test_many_small_writes_of_a_day_end_in_few_files(client, index, state):
    put(client, index, {f"d{n}": (n * 15, "ab"[n % 2], 1) for n in range(100)})
    for hour in range(2, 26):
        read_stored(client, job(index), Window(START, START + timedelta(hours=hour)))
    filesystem, root = fsspec.core.url_to_fs(staging_uri("store"))
    day = next(path for path in filesystem.glob(f"{root}/*/*") if path.endswith("2026-03-02"))
    manifest = store._Day.load(day)
    assert len(manifest.files) <= store.PARTS
    frame = read_stored(client, job(index), Window(START, START + timedelta(hours=25)))
    assert frame.docs.sum() == 100
    assert np.nansum(frame.values) == 100


def test_spans_of_any_length_are_stored(client, index, state):
    put(client, index, {f"d{n}": (n * 7, "a", 1) for n in range(200)})
    for span in ("1s", "90s", "7h", "2d"):
        step = job(index, span).bucket_span
        origin = int(START.timestamp()) // int(step.total_seconds()) * int(step.total_seconds())
        begin = datetime.fromtimestamp(origin, UTC)
        window = Window(begin, begin + max(1, timedelta(hours=25) // step) * step)
        cold = read_stored(client, job(index, span), window)
        warm = read_stored(client, job(index, span), window)
        np.testing.assert_array_equal(cold.values, warm.values)
        stop = (window.end - START) / timedelta(minutes=7)
        assert cold.docs.sum() == min(200, int(np.ceil(stop)))


def test_fingerprints_of_long_windows_are_asked_for_in_pieces(client, index, state, monkeypatch):
    put(client, index, {f"d{n}": (n * 7, "a", 1) for n in range(200)})
    window = Window(START, START + timedelta(hours=26))
    whole = read.fingerprints(client, job(index), window, 300)
    monkeypatch.setattr(read, "MARKS", 7)
    assert read.fingerprints(client, job(index), window, 300) == whole
    assert sum(docs for docs, *_ in whole.values()) == 200


def test_cells_are_named_by_what_they_are():
    cells = Cells([("b", "", ""), ("a", "", "")], np.array([0, 1], np.int32), np.array([5, 4]), np.array([1, 2]), {}, [4, 5])
    assert store.merge([cells]).keys == [("a", "", ""), ("b", "", "")]
    assert store.merge([cells]).row.tolist() == [0, 1]
    assert store.merge([cells]).docs.tolist() == [2, 1]
    assert cells.within([5], 1).keys == cells.keys
    assert store.merge([cells.within([5], 1)]).keys == [("b", "", "")]
