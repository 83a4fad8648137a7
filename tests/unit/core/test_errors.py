import pickle

from driftline.core.errors import DefinitionError, WriteError


def test_an_error_says_what_where_expected_and_what_to_do():
    error = DefinitionError("unknown field", where="web.yaml", expected="a known one", fix="Remove it.")
    assert str(error) == "web.yaml: unknown field; expected a known one. Remove it."
    assert error.exit_code == 2
    assert error.as_dict()["error"] == "DefinitionError"


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(WriteError("3 refused", failed=3, total=9, sample=["a"])))
    assert (error.failed, error.total, error.sample, str(error)) == (3, 9, ["a"], "3 refused")
