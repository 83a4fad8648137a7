"""A source: where rows come from, what they mean, and into which index they go. Files, or a generator."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, field_validator, model_validator

from driftline.core.definition import Definition
from driftline.core.job import NO_SCHEDULE, Check, Cron
from driftline.core.rules import Identifier
from driftline.core.timespan import Span, Time, Window

Format = Literal["auto", "access_log", "ndjson", "csv", "parquet"]
FieldType = Literal["keyword", "long", "double", "ip", "date", "boolean", "geo_point"]
Constant = str | int | float | bool

_INDEX = re.compile(r"[a-z0-9.][^A-Z\\/*?\"<>|\s,#:]{0,229}")
RESERVED = "driftline-"
QUARANTINE = "-quarantine"


def _index_name(value: str) -> str:
    if not _INDEX.fullmatch(value) or value.strip(".") == "":
        raise ValueError(
            f"'{value}' is not an index name: lower-case, at most 230 characters, none of \\ / * ? \" < > | , # : or spaces, "
            "beginning with a letter or digit"
        )
    if value.startswith(RESERVED) or value.endswith(QUARANTINE):
        raise ValueError(f"'{value}' is a name that Driftline keeps for itself ({RESERVED}…, …{QUARANTINE})")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, KeyError, OSError):  # whatever the zone database makes of a hostile or unknown key
        raise ValueError(f"'{value}' is not a time zone: a name such as UTC or Europe/Berlin") from None
    return value


IndexName = Annotated[str, AfterValidator(_index_name)]


class Csv(Definition):
    """How a CSV file is cut into columns."""

    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="What stands between columns. Default: found out among , ; | and tab."
    )
    quote: str = Field('"', min_length=1, max_length=1, description="What stands around a column that holds a delimiter.")
    columns: list[str] = Field(default_factory=list, description="Column names where the file has no header line.")

    @field_validator("columns")
    @classmethod
    def _unique(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("two columns have the same name")
        return value


class Files(Definition):
    """Files with rows: logs, NDJSON, CSV or Parquet, each read once and continued where it grew."""

    paths: list[str] = Field(min_length=1, description="Files or globs, as fsspec URIs: /logs/*.log*, s3://bucket/**/*.gz")
    format: Format = Field("auto", description="access_log (common or combined), ndjson, csv, parquet; auto looks at the file.")
    compression: Literal["auto", "gzip", "none"] = Field("auto", description="auto looks at the first bytes, not at the name.")
    encoding: Literal["utf-8", "latin-1", "cp1252"] = Field("utf-8", description="The encoding of text files.")
    csv: Csv = Field(default_factory=Csv)
    fields: dict[str, str] = Field(
        default_factory=dict, description="New names: {column: field}; an empty field drops the column."
    )
    types: dict[str, FieldType] = Field(
        default_factory=dict, description="{field: type} in a new index. Default: as the first rows look."
    )
    add: dict[str, Constant] = Field(
        default_factory=dict, description="Fields with the same value in every row: {host.name: web-1}"
    )
    id_field: str | None = Field(
        None, description="A field that names a row: the same value replaces it. Default: the file's fingerprint and byte offset."
    )
    final: bool = Field(False, description="The files are complete: a last line without its line end is a row, not half of one.")
    event_original: bool = Field(False, description="Keep the raw line in event.original.")
    geoip: str | None = Field(None, description="A MaxMind database (.mmdb) of yours, for source.geo.* from source.ip.")

    @field_validator("paths", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("paths")
    @classmethod
    def _not_empty(cls, value: list[str]) -> list[str]:
        if not all(path.strip() for path in value):
            raise ValueError("a path is empty")
        return value


class Generator(Definition):
    """Rows that are made up, with known anomalies: the same for the same seed."""

    kind: Literal["access_log", "smoke_event", "web_requests"] = "access_log"
    seed: int = Field(42, ge=0)
    start: Time = Field(description="The first moment (ISO 8601).")
    days: float = Field(28, gt=0, le=3660)
    options: dict[str, Any] = Field(default_factory=dict, description="What the kind can be told; see docs/generator.md.")


RANGES: dict[str, tuple[float | None, float | None]] = {
    "http.response.status_code": (100, 599),
    "http.response.body.bytes": (0, None),
    "http.response.bytes": (0, None),
    "http.request.bytes": (0, None),
}
"""What every access log keeps to; fields that a source lacks are not looked at."""


class RowQuality(Definition):
    """What makes a row bad, and the verdict when some are.

    A bad row goes to quarantine with its reason. With the verdict `pass` a check only counts: the row is indexed all the same.
    """

    unparsed: Literal["warn", "stop"] = Field("warn", description="Rows that cannot be read at all.")
    required: list[str] = Field(default_factory=list, description="Fields that every row must have; the time field always is.")
    missing: Check = Field("warn", description="Rows without a required field.")
    future: Check = Field("warn", description="Rows stamped later than now + max_future.")
    max_future: Span = Field(timedelta(minutes=5), description="How far clocks may run ahead.")
    past: Check = Field("warn", description="Rows stamped before `oldest`.")
    oldest: Time | None = Field(None, description="No row can be older than this. Default: no limit.")
    ranges: dict[str, tuple[float | None, float | None]] = Field(
        default_factory=lambda: dict(RANGES), description="{field: [least, most]}, null for no limit."
    )
    range: Check = Field("warn", description="Rows with a value outside its range.")
    values: dict[str, list[str | int]] = Field(default_factory=dict, description="{field: [all values that are allowed]}")
    # None rather than empty, so that the versions of sources that use none stay what they were
    patterns: dict[str, str] | None = Field(
        None, description="{field: regular expression} that must be found in the value; ^ and $ bind it to the ends."
    )
    value: Check = Field("warn", description="Rows with a value that is not allowed, or that does not match its pattern.")
    max_bad_ratio: float = Field(0.5, ge=0, le=1, description="The share of bad rows in a file above which `bad_ratio` applies.")
    bad_ratio: Check = Field("stop", description="Too many bad rows: most often a wrong format or time zone.")

    @field_validator("patterns")
    @classmethod
    def _compiles(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        for name, pattern in (value or {}).items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{name}: '{pattern}' is not a regular expression: {error}") from None
        return value


class IndexSettings(Definition):
    """Settings of an index that an ingest makes; one that exists is left as it is."""

    shards: int = Field(1, ge=1, le=1024)
    replicas: int | None = Field(None, ge=0, le=16, description="Default: one where there is a second node, else none.")
    refresh_interval: Span = Field(timedelta(seconds=5), description="How soon new documents can be found.")


class Source(Definition):
    """Where rows come from and where they go. `include/sources/*.yaml` holds one a file: either `files` or `generator`."""

    source_id: Identifier
    description: str = ""
    index: IndexName = Field(description="The index that takes the rows; bad ones go to <index>-quarantine.")
    files: Files | None = None
    generator: Generator | None = None
    time_field: str = Field("@timestamp", min_length=1, description="The field that holds a row's time.")
    time_format: str | None = Field(
        None, description="Of text stamps, as strptime has it, or epoch_s, epoch_ms. Default: ISO 8601, or epoch by magnitude."
    )
    timezone: Annotated[str, AfterValidator(_timezone)] = Field("UTC", description="The zone of stamps that name none.")
    predict: Identifier | None = Field(
        None, description="An analysis of documents: each row is indexed with what its model in force says of it."
    )
    schedule: Cron = Field(NO_SCHEDULE, description="When to look for new rows: cron in UTC, or 'none' (by hand).")
    quality: RowQuality = Field(default_factory=RowQuality)
    index_settings: IndexSettings = Field(default_factory=IndexSettings)

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        if (self.files is None) == (self.generator is None):
            given = "neither" if self.files is None else "both"
            raise ValueError(f"exactly one of 'files' and 'generator' says where the rows come from; {given} is given")
        return self

    @property
    def type(self) -> Literal["files", "generator"]:
        """Where the rows come from."""
        return "files" if self.files else "generator"

    @property
    def window(self) -> Window | None:
        """The time that a generator covers; None for files, whose time is in them."""
        if self.generator is None:
            return None
        return Window(self.generator.start, self.generator.start + timedelta(days=self.generator.days))

    @property
    def quarantine(self) -> str:
        """The index that takes the bad rows."""
        return self.index + QUARANTINE

    @property
    def asset_uri(self) -> str:
        """The Airflow asset that an ingest of this source updates."""
        return f"driftline://sources/{self.source_id}"

    @property
    def version(self) -> str:
        """Hash of all that changes the documents."""
        return self.digest(exclude=frozenset({"description", "schedule"}))
