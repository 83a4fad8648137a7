import pytest

from driftline.core.errors import DataError
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
