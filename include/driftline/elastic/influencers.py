"""Who is behind an anomaly: the influencer values that make up a large share of its bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.core.categorization import MLCATEGORY
from driftline.core.timespan import Window, parse_time
from driftline.elastic.client import explained
from driftline.elastic.fields import has_words
from driftline.elastic.query import SPLITS, field_of, filtered, messages, searched

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

SHARE = 0.2  # a value is named when it accounts for at least this much of what the detector measures
MAX_RECORDS = 500  # the most surprising ones; the others keep their split fields as influencers
PER_FIELD = 5
SEARCHES = 50
# … and where a mean falls, for at least this much of the values below what is typical: many small ones pull it down
MOST = 0.5
WEIGHED = {"sum", "mean"}  # measured by the field's sum; the other functions by the number of documents


def find_influencers(client: Elasticsearch, job: Job, records: list[dict[str, Any]]) -> None:
    """Adds `influencers` to records in place. A split field that is an influencer names its own value."""
    splits = {getattr(detector, f"{kind}_field_name") for detector in job.detectors for kind in SPLITS}
    # of a datafeed's own aggregations only split fields are known by name
    asked = [] if job.datafeed.aggregations else [field for field in job.influencers if field not in splits]
    for record in records:
        record["influencers"] = [
            {"influencer_field_name": record[f"{kind}_field_name"], "influencer_field_values": [record[f"{kind}_field_value"]]}
            for kind in SPLITS
            if record.get(f"{kind}_field_name") in job.influencers
        ]
    if not asked:
        return
    # who is there when others are missing is not to blame: only a surplus is shared out
    surplus = [record for record in records if not _fell(record) or _diluted(job, record)]
    worst = sorted(surplus, key=lambda record: (-record["record_score"], record["timestamp"], record["probability"]))[
        :MAX_RECORDS
    ]
    for first in range(0, len(worst), SEARCHES):
        _ask(client, job, worst[first : first + SEARCHES], asked)


def _fell(record: dict[str, Any]) -> bool:
    return "geo_results" not in record and record["actual"][0] <= record["typical"][0]


def _diluted(job: Job, record: dict[str, Any]) -> bool:
    """Whether it may be that small values came in number: a mean that fell."""
    return record["function_description"] == "mean" and _fell(record) and record["field_name"] not in job.datafeed.script_fields


def _ask(client: Elasticsearch, job: Job, records: list[dict[str, Any]], fields: list[str]) -> None:
    searches: list[dict[str, Any]] = []
    words = job.categorises and has_words(client, job)
    for record in records:
        searches += [{"index": job.datafeed.indices}, _search(job, record, fields, words)]
    with explained(f"job {job.job_id}, influencers"):
        answers = client.msearch(searches=searches)["responses"]
    for record, answer in zip(records, answers, strict=True):
        if "aggregations" not in answer:
            continue
        total = _amount(record, answer["aggregations"], answer["hits"]["total"]["value"])
        least = (MOST if _fell(record) else SHARE) * total
        for number, field in enumerate(fields):
            buckets = answer["aggregations"][f"f{number}"]["buckets"]
            values = [_text(b) for b in buckets if total > 0 and _amount(record, b, b["doc_count"]) >= least]
            if values:
                record["influencers"].append({"influencer_field_name": field, "influencer_field_values": values})


def _search(job: Job, record: dict[str, Any], fields: list[str], words: bool) -> dict[str, Any]:
    start = parse_time(record["timestamp"] / 1000)
    query = filtered(job, Window(start, start + job.bucket_span))
    if narrowed := job.detectors[record["detector_index"]].query:
        query["bool"]["filter"].append(narrowed)
    for kind in SPLITS:
        if name := record.get(f"{kind}_field_name"):
            if name in job.datafeed.script_fields:
                continue
            if name == MLCATEGORY:
                query["bool"]["filter"].append(messages(job, record["driftline"].get("template", ""), words=words))
                continue
            value = record[f"{kind}_field_value"]
            missing = {"bool": {"must_not": {"exists": {"field": name}}}}
            query["bool"]["filter"].append(
                {"term": {name: value}} if value else {"bool": {"should": [missing, {"term": {name: ""}}]}}
            )
    if _fell(record):
        query["bool"]["filter"].append({"range": {record["field_name"]: {"lt": record["typical"][0]}}})
    measure = {"amount": {"sum": field_of(job, record["field_name"])}} if _weighed(record) else {}
    aggs: dict[str, Any] = dict(measure)
    for number, field in enumerate(fields):
        terms: dict[str, Any] = {**field_of(job, field), "size": PER_FIELD}
        if measure:
            terms["order"] = {"amount": "desc"}
        aggs[f"f{number}"] = {"terms": terms, **({"aggs": measure} if measure else {})}
    return searched(job, {"size": 0, "track_total_hits": True, "query": query, "aggs": aggs})


def _amount(record: dict[str, Any], bucket: dict[str, Any], count: int) -> float:
    return float(bucket["amount"]["value"] or 0.0) if _weighed(record) else float(count)


def _weighed(record: dict[str, Any]) -> bool:
    return record["function_description"] in WEIGHED and not _fell(record)


def _text(bucket: dict[str, Any]) -> str:
    return str(bucket.get("key_as_string", bucket["key"]))
