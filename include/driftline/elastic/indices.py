"""Our indices: their names and mappings. Only field types that the minimal distribution has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.elastic.client import talks_to_cluster

if TYPE_CHECKING:
    from datetime import datetime

    from elasticsearch import Elasticsearch

JOBS, STATE, RUNS = "driftline-jobs", "driftline-state", "driftline-runs"
SNAPSHOTS, MODELS = "driftline-snapshots", "driftline-models"
RESULTS, FORECASTS = "driftline-results", "driftline-forecasts"
QUALITY, LEDGER, TRUTH = "driftline-quality", "driftline-ledger", "driftline-truth"
DECISIONS = "driftline-decisions"
ANNOTATIONS, FEEDBACK, ALERTS = "driftline-annotations", "driftline-feedback", "driftline-alerts"
TRAINED, TRAINED_PARTS = "driftline-trained-models", "driftline-trained-parts"

KEYWORD = {"type": "keyword", "ignore_above": 8191}  # 32 766 bytes is Lucene's limit, and a character takes up to four
DATE = {"type": "date", "format": "strict_date_optional_time||epoch_millis"}
LONG, DOUBLE, BOOL, BLOB = {"type": "long"}, {"type": "double"}, {"type": "boolean"}, {"type": "object", "enabled": False}
TEXT = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def monthly(index: str, moment: datetime) -> str:
    """The month's index for a bucket that starts at `moment`: results are kept, and removed, by whole months."""
    return f"{index}-{moment:%Y.%m}"


def _keywords(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, KEYWORD)


_SERIES = _keywords(
    "partition_field_name", "partition_field_value", "by_field_name", "by_field_value", "over_field_name", "over_field_value"
)
_RESULTS: dict[str, Any] = {
    **_SERIES,
    **_keywords("job_id", "result_type", "function", "function_description", "field_name"),
    **_keywords("influencer_field_name", "influencer_field_value", "model_feature", "forecast_id"),
    **dict.fromkeys(("timestamp", "forecast_create_timestamp", "forecast_expiry_timestamp"), DATE),
    **dict.fromkeys(("forecast_start_timestamp", "forecast_end_timestamp"), DATE),
    **dict.fromkeys(("forecast_status", "forecast_messages"), KEYWORD),
    **dict.fromkeys(("forecast_progress",), DOUBLE),
    "processed_record_count": LONG,
    **dict.fromkeys(("bucket_span", "detector_index", "event_count", "processing_time_ms"), LONG),
    **dict.fromkeys(("record_score", "initial_record_score", "anomaly_score", "initial_anomaly_score"), DOUBLE),
    **dict.fromkeys(("influencer_score", "initial_influencer_score", "probability", "multi_bucket_impact"), DOUBLE),
    **dict.fromkeys(("typical", "actual", "model_lower", "model_median", "model_upper"), DOUBLE),
    **dict.fromkeys(("forecast_lower", "forecast_prediction", "forecast_upper"), DOUBLE),
    **dict.fromkeys(("category_id", "max_matching_length", "num_matches"), LONG),
    "terms": {"type": "text"},
    "examples": {"type": "text"},
    **_keywords("regex", "mlcategory"),
    "is_interim": BOOL,
    "influencers": {
        "type": "object",
        "properties": _keywords("influencer_field_name", "influencer_field_values"),
    },
    "anomaly_score_explanation": BLOB,
    "bucket_influencers": BLOB,
    "driftline": {
        "properties": {
            **_keywords("job_version", "snapshot_id", "quality", "key", "kind", "damped", "template"),
            **dict.fromkeys(("in_sample", "learning"), BOOL),
            "sentence": {"type": "keyword", "index": False, "doc_values": False},
            "event": {
                "properties": {
                    **dict.fromkeys(("start", "end", "peak"), DATE),
                    **_keywords("kind", "member_of", "members"),
                    **dict.fromkeys(("buckets", "series", "detectors"), LONG),
                    "total_deviation": DOUBLE,
                    "alarm": BOOL,
                    "common": BLOB,
                }
            },
            "feedback": {"properties": {**_keywords("id", "verdict", "record"), "before": DOUBLE}},
            **dict.fromkeys(("records", "discoveries"), LONG),
            **dict.fromkeys(("together", "evidence", "recurring"), BLOB),
            "training_start": DATE,
            "training_end": DATE,
            "series": LONG,
        }
    },
}
_STATE: dict[str, Any] = {
    **_keywords("job_id", "job_version", "kind"),
    **dict.fromkeys(("scored_from", "scored_until"), DATE),
    **dict.fromkeys(("detail", "meaning", "gap"), BLOB),
}
_RUNS: dict[str, Any] = {
    **_keywords("run", "kind", "job_id", "job_version", "source_id", "snapshot_id", "verdict", "state"),
    **dict.fromkeys(("@timestamp", "window_start", "window_end"), DATE),
    "seconds": DOUBLE,
    "detail": BLOB,
}
_SNAPSHOTS: dict[str, Any] = {
    **_keywords("job_id", "job_version", "snapshot_id", "state", "verdict", "engine"),
    **dict.fromkeys(("training_start", "training_end", "created", "valid_from", "valid_until"), DATE),
    **dict.fromkeys(("series", "trained", "failed"), LONG),
    "retain": BOOL,
    "description": TEXT,
    "detail": BLOB,
}
_MODELS: dict[str, Any] = {**_keywords("job_id", "snapshot_id"), "detector_index": LONG, "row": LONG, "model": BLOB}
_JOBS: dict[str, Any] = {**_keywords("id", "kind", "state"), "updated": DATE, "definition": BLOB}
_ANNOTATIONS: dict[str, Any] = {
    **_SERIES,
    **_keywords("job_id", "type", "event", "create_username", "modified_username"),
    "detector_index": LONG,
    **dict.fromkeys(("timestamp", "end_timestamp", "create_time", "modified_time"), DATE),
    "annotation": TEXT,
}
_FEEDBACK: dict[str, Any] = {
    **_SERIES,
    **_keywords("job_id", "job_version", "record_id", "verdict", "function", "field_name", "kind", "direction"),
    **_keywords("created_by", "revoked_by"),
    **dict.fromkeys(("timestamp", "created", "revoked"), DATE),
    **dict.fromkeys(("detector_index", "bucket_span"), LONG),
    **dict.fromkeys(("record_score", "surprise", "deviation", "actual", "typical"), DOUBLE),
    "note": TEXT,
}
_ALERTS: dict[str, Any] = {
    **_keywords("alert_id", "channel", "event_id", "name", "job_version", "about", "severity", "state", "run"),
    "detector_index": LONG,
    **dict.fromkeys(("start", "end", "created", "due", "told"), DATE),
    "attempts": LONG,
    "error": TEXT,
    "message": BLOB,
}
_TRUTH: dict[str, Any] = {
    **_keywords("truth_id", "source_id", "kind", "function", "field_name", "partition_field_name", "partition_field_value"),
    "start": DATE,
    "end": DATE,
    "magnitude": DOUBLE,
    "description": TEXT,
}
_LEDGER: dict[str, Any] = {
    **_keywords("fingerprint", "source_id", "path", "state", "index"),
    **dict.fromkeys(("offset", "size", "rows", "bad", "line", "indexed", "quarantined", "pending"), LONG),
    "updated": DATE,
    "detail": BLOB,
}
# what a quarantine has of a row, which can be looked for in the same words, and what was decided
_DECISIONS: dict[str, Any] = {
    **_keywords("source_id", "index", "path", "fingerprint", "check", "reason", "document_id", "verdict", "by"),
    **dict.fromkeys(("line", "offset", "raw_bytes"), LONG),
    **dict.fromkeys(("time", "added", "decided"), DATE),
}
_QUALITY: dict[str, Any] = {
    **_keywords("report_id", "kind", "job_id", "source_id", "stage", "verdict", "run", "report"),
    **dict.fromkeys(("@timestamp", "start", "end", "window_start", "window_end", "created"), DATE),
    **dict.fromkeys(("buckets", "docs", "series", "rows", "bad"), LONG),
    **dict.fromkeys(("docs_per_bucket",), DOUBLE),
    "failed": KEYWORD,
    "failed_checks": KEYWORD,
    "checks": BLOB,
    "detail": BLOB,
}

_TRAINED: dict[str, Any] = {
    **_keywords("model_id", "analytics_id", "analytics_version", "analysis_type", "dependent_variable", "origin", "writing"),
    **dict.fromkeys(("created", "in_force_since"), DATE),
    **dict.fromkeys(("documents", "bytes", "parts"), LONG),
    "description": TEXT,
    "detail": BLOB,
}
_TRAINED_PARTS: dict[str, Any] = {**_keywords("model_id"), "row": LONG, "definition": {"type": "binary"}}

MAPPINGS: dict[str, dict[str, Any]] = {
    JOBS: _JOBS,
    STATE: _STATE,
    RUNS: _RUNS,
    SNAPSHOTS: _SNAPSHOTS,
    MODELS: _MODELS,
    RESULTS: _RESULTS,
    FORECASTS: _RESULTS,
    QUALITY: _QUALITY,
    LEDGER: _LEDGER,
    DECISIONS: _DECISIONS,
    TRUTH: _TRUTH,
    ANNOTATIONS: _ANNOTATIONS,
    FEEDBACK: _FEEDBACK,
    ALERTS: _ALERTS,
    TRAINED: _TRAINED,
    TRAINED_PARTS: _TRAINED_PARTS,
}
_BY_MONTH = {RESULTS, FORECASTS}
_SETTINGS = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "1s"}
_MORE_SETTINGS: dict[str, dict[str, Any]] = {MODELS: {"codec": "best_compression"}}  # written once, read once a run
TEMPLATE_VERSION = 9


@talks_to_cluster
def ensure_templates(client: Elasticsearch) -> None:
    """Makes our index templates if they are missing or of an older version. Cheap when they are there."""
    # a pattern that matches nothing is a 404 here
    have = client.options(ignore_status=404).indices.get_index_template(name="driftline-*").body["index_templates"]
    current = {entry["name"] for entry in have if entry["index_template"].get("version", 0) >= TEMPLATE_VERSION}
    for name, properties in MAPPINGS.items():
        if name not in current:
            client.indices.put_index_template(
                name=name,
                index_patterns=[f"{name}-*"] if name in _BY_MONTH else [name],
                priority=200,
                version=TEMPLATE_VERSION,
                template={
                    "settings": _SETTINGS | _MORE_SETTINGS.get(name, {}),
                    # no dynamic fields: values from logs can never explode the mapping
                    "mappings": {"dynamic": False, "properties": properties},
                },
            )
