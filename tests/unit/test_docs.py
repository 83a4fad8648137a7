"""The documentation says what the code does: links, tables, schemas, defaults, figures."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from driftline.core.job import Job
from driftline.core.paths import ROOT
from driftline.pipeline.jobs import load_job
from driftline.scoring import settings

CODE = ("include", "plugins", "dags")
# By these our processes are found again; Driftline sets them itself, and reads nobody's setting from them.
MARKS = {"DRIFTLINE_INSTANCE", "DRIFTLINE_NODE"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PLACES = re.compile(r"/(?:work|root|Users|home/\w+)/[\w.]")
TEXT = {".py", ".md", ".yaml", ".yml", ".json", ".toml", ".txt", ".html", ".css", ".js", ".example", ".sh", ""}


@functools.cache
def tracked() -> tuple[Path, ...]:
    """The files of the repository, those that are about to be committed too."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return tuple(path for top in (*CODE, "docs", "tests", "tools") for path in (ROOT / top).rglob("*") if path.is_file())
    return tuple(path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file())


def pages() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def prose(path: Path) -> str:
    """A page without what is code."""
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as code forges make them."""
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#{1,6} +(.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@functools.cache
def reference():
    spec = importlib.util.spec_from_file_location("driftline_reference", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    lost = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = page.parent / name if name else page
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in anchors(found)):
            lost.append(target)
    assert lost == []


def variables_in_code() -> set[str]:
    """Every DRIFTLINE_… that stands in a string of the code; a name that is put together counts with what it is put after."""
    found = set()
    for top in CODE:
        for path in (ROOT / top).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= set(re.findall(r"DRIFTLINE_[A-Z_]*[A-Z]", node.value))
            found |= {f"DRIFTLINE_ELASTICSEARCH{suffix}" for suffix in re.findall(r"\{URL\[:-4\]\}(_[A-Z_]+)", text)}
    return found - MARKS


def test_the_configuration_table_has_every_variable_and_no_other():
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Configuration")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"DRIFTLINE_[A-Z_]+", " ".join(rows))) == variables_in_code()


def test_tables_schemas_and_defaults_are_those_of_the_code():
    stale = [str(path.relative_to(ROOT)) for path, text in reference().written().items() if path.read_text("utf-8") != text]
    assert stale == [], "run: .venv/bin/python docs/reference.py"


def test_the_file_of_all_defaults_is_a_job_that_says_nothing_new():
    path = ROOT / "include" / "jobs" / "defaults.yaml.example"
    assert Job.load(path) == Job.parse(reference().LEAST, where="test")


def test_the_file_of_all_defaults_names_every_field():
    written = yaml.safe_load((ROOT / "include" / "jobs" / "defaults.yaml.example").read_text("utf-8"))
    assert _names(written) == _names(Job.parse(reference().LEAST, where="test").model_dump(mode="json"))


def _names(node, place=""):
    if isinstance(node, dict):
        return {name for key, value in node.items() for name in {f"{place}.{key}", *_names(value, f"{place}.{key}")}}
    return {name for part in node for name in _names(part, f"{place}[]")} if isinstance(node, list) else set()


@pytest.mark.parametrize("kind", ["job", "source", "analytics", "signatures"])
def test_every_definition_that_comes_with_driftline_fits_its_schema(kind):
    schema = json.loads((ROOT / "docs" / "schema" / f"{kind}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    folder = ROOT / "include" / (kind if kind.endswith("s") else f"{kind}s")
    for path in [*folder.glob("*.yaml"), *folder.glob("*.example")]:
        # an editor takes a time for text
        data = json.loads(json.dumps(yaml.safe_load(path.read_text("utf-8")), default=str))
        assert list(Draft202012Validator(schema).iter_errors(data)) == [], path.name


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({"bucket_span": "1h30m"}, True),
        ({"bucket_span": 900}, True),
        ({"bucket_span": "quarter"}, False),
        ({"bukket_span": "1h"}, False),
        ({"datafeed": {"indices": ["a", "b"], "end": "now-1d"}}, True),
        ({"datafeed": {"indices": 3}}, False),
        ({"quality": {"finite": "perhaps"}}, False),
    ],
)
def test_the_schema_takes_what_a_job_file_may_say_and_refuses_what_it_may_not(change, valid):
    schema = json.loads((ROOT / "docs" / "schema" / "job.json").read_text("utf-8"))
    data = {**reference().LEAST, **change}
    assert Draft202012Validator(schema).is_valid(data) == valid
    if valid:
        Job.parse(data, where="test")


@pytest.mark.parametrize("page", ["README.md", "docs/jobs.md"])
def test_the_job_in_a_page_is_valid(page, tmp_path):
    found = re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    jobs = [text for text in found if "job_id:" in text]
    assert jobs
    for text in jobs:
        file = tmp_path / "job.yaml"
        file.write_text(text, encoding="utf-8")
        assert load_job(str(file)).job_id == "web-requests"


def test_the_settings_of_scoring_are_as_described():
    text = (ROOT / "docs" / "scoring.md").read_text("utf-8")
    stated = dict(re.findall(r"^\| `([A-Z_]+)` \| ([\d.]+) \|", text, flags=re.MULTILINE))
    assert len(stated) > 10
    assert stated == {name: str(getattr(settings, name)) for name in stated}
    curve = re.findall(r"^\| (?:surprise|score)[^|]*\| (.+) \|$", text, flags=re.MULTILINE)
    x, y = (tuple(float(cell) for cell in row.split("|")) for row in curve[:2])
    assert tuple(zip(x, y, strict=True)) == settings.SCORE_CURVE


def test_every_command_is_in_the_documentation():
    from typer.main import get_command

    from driftline.cli.app import app

    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for name, command in get_command(app).commands.items():
        assert f"driftline {name}" in text or f"`{name}`" in text
        for inner in getattr(command, "commands", {}):
            assert f"{name} {inner}`" in text or f"· `{inner}`" in text, f"{name} {inner}"


def test_no_file_names_a_place_on_somebodys_machine():
    mine = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if path.suffix in TEXT and path.resolve() != mine
        for match in PLACES.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []
