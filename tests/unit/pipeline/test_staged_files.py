import pytest

from driftline.core.errors import DataError
from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.pipeline import score, train
from driftline.pipeline.files import read_lines, write_lines


def test_lines_come_back_as_they_are_and_one_at_a_time(tmp_path):
    uri = str(tmp_path / "deep" / "staged.jsonl")
    write_lines(uri, ({"n": n, "text": "a\nb"} for n in range(3)))
    lines = read_lines(uri)
    assert next(lines) == b'{"n":0,"text":"a\\nb"}'
    assert len(list(lines)) == 2


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path):
    uri = str(tmp_path / "staged.jsonl")

    def lines():
        yield {"n": 1}
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_lines(uri, lines())
    with pytest.raises(DataError, match="the staged file is gone"):
        list(read_lines(uri))


@pytest.mark.parametrize("work", [score, train])
def test_two_runs_of_one_interval_stage_apart(work, state, monkeypatch):
    places = []

    def stop(*_, uri, **__):
        places.append(uri)
        raise DataError("seen enough")

    window = Window.parse("2026-03-01", "2026-03-02")
    job = Job.parse({"job_id": "twice", "detectors": [{"function": "count"}], "datafeed": {"indices": ["i"]}}, where="t")
    monkeypatch.setattr(score, "prepare", lambda *_, **__: {})
    monkeypatch.setattr(score, "default_window", lambda *_: window)
    monkeypatch.setattr(train, "training_window", lambda *_, **__: window)
    monkeypatch.setattr(score, "read_plan", stop)
    monkeypatch.setattr(train, "read_series", stop)
    for _ in range(2):
        with pytest.raises(DataError, match="seen enough"):
            getattr(work, work.__name__.rpartition(".")[2])(None, job)
    assert len(set(places)) == 2
