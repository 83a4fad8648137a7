from datetime import timedelta

import numpy as np
import pytest
from fleets import PATH, QUARTER, START, STATUS, Fleet, alarms, job, record, stamps

from driftline.core.errors import DriftlineError
from driftline.core.results import result_id
from driftline.scoring.aggregate import bucket_results, event_results, influencer_results, overall_buckets
from driftline.scoring.events import look_ahead, look_back
from driftline.scoring.score import to_job_score
from driftline.scoring.settings import MEMBERS_NAMED
from driftline.scoring.together import Shared, add, noise_of, surprise

JOB = job()
BEGIN = int(START.timestamp() * 1000)
DAY = 96


def drops(bucket, paths, probability=1e-12, **more):
    return [record(bucket, path, probability, 2.0, 34.0, **more) for path in paths]


def paths(count):
    return [f"/p{n}" for n in range(count)]


def shared_of(fleet, train, detector=0):
    """What pipeline does with a fleet: what is together surprising, by timestamp and detector."""
    times, (sums, counts) = stamps(fleet.counts.shape[1]), add(fleet.z)
    found, away = surprise(times, sums, counts, noise_of(times[:train], sums[:train], counts[:train]))
    actual, typical = fleet.counts.sum(axis=0), fleet.typical.sum(axis=0)
    return {
        (BEGIN + t * QUARTER * 1000, detector): Shared(
            float(found[t]), float(away[t]), int(counts[t]), float(actual[t]), float(typical[t])
        )
        for t in range(train, len(found))
    }


def test_a_bucket_allows_for_how_many_series_were_looked_at():
    one = [record(0, "/a", 1e-8, 50.0, 5.0)]
    few, many = (bucket_results(JOB, one, series)[0][1] for series in (1, 5000))
    assert few["anomaly_score"] > many["anomaly_score"] > 0
    assert many["event_count"] == 1
    assert many["driftline"]["series"] == 5000


def test_results_allow_for_the_series_that_were_looked_at_in_their_own_bucket():
    two = [record(0, "/a", 1e-6, 50.0, 5.0), record(5 * DAY, "/b", 1e-6, 50.0, 5.0)]
    looked = {BEGIN: 1, BEGIN + 5 * DAY * QUARTER * 1000: 5000}
    (_, few), (_, many) = bucket_results(JOB, two, looked.__getitem__)
    assert few["anomaly_score"] > many["anomaly_score"]
    assert (few["driftline"]["series"], many["driftline"]["series"]) == (1, 5000)
    assert [event["driftline"]["event"]["alarm"] for _, event in event_results(JOB, two, looked.__getitem__)] == [True, False]


def test_bucket_ids_are_what_they_were():
    ((id_, document),) = bucket_results(JOB, drops(3, ["/a"]), 10)
    assert id_ == result_id(JOB, "bucket", BEGIN + 3 * QUARTER * 1000)
    assert document["result_type"] == "bucket"
    assert document["initial_anomaly_score"] == document["anomaly_score"]


def test_several_detectors_of_one_partition_are_one_piece_of_news():
    once = bucket_results(JOB, drops(0, ["/a"], 1e-7), 200)[0][1]
    twice = bucket_results(JOB, drops(0, ["/a"], 1e-7) + drops(0, ["/a"], 1e-7, detector=2), 200)[0][1]
    others = bucket_results(JOB, drops(0, ["/a", "/b"], 1e-7), 200)[0][1]
    assert once["anomaly_score"] == twice["anomaly_score"] < others["anomaly_score"]


def test_a_bucket_names_the_influencer_fields_that_matter():
    blamed = {"influencers": [{"influencer_field_name": "source.ip", "influencer_field_values": ["10.0.0.1"]}]}
    members = [*drops(0, ["/a"], 1e-9), *drops(0, paths(6), 1e-6, **blamed)]
    document = bucket_results(JOB, members, 40)[0][1]
    fields = {part["influencer_field_name"]: part for part in document["bucket_influencers"]}
    assert list(fields) == ["bucket_time", "source.ip"]
    assert fields["bucket_time"]["anomaly_score"] == document["anomaly_score"]
    assert 0 < fields["source.ip"]["anomaly_score"] <= document["anomaly_score"]


def test_what_all_series_do_together_makes_a_bucket_without_records():
    quiet = bucket_results(JOB, [], 5000, {(BEGIN, 0): Shared(1.0, -0.1, 5000)})
    ((_, loud),) = bucket_results(JOB, [], 5000, {(BEGIN, 0): Shared(30.0, -0.4, 5000)})
    assert quiet == []
    assert loud["anomaly_score"] == to_job_score(30 - np.log10(2))
    assert loud["driftline"]["together"]["0"]["deviation"] == -0.4


def test_an_influencer_is_never_less_than_the_worst_of_its_records_and_several_add_up():
    blamed = {"influencers": [{"influencer_field_name": "source.ip", "influencer_field_values": ["10.0.0.1"]}]}
    few = drops(0, ["/a"], 1e-7, **blamed)
    many = few + drops(0, paths(8), 1e-6, **blamed)
    ((_, one),) = influencer_results(JOB, few, 40)
    ((_, more),) = influencer_results(JOB, many, 40)
    assert one["influencer_score"] == few[0]["record_score"]
    assert more["influencer_score"] > one["influencer_score"]
    assert more["driftline"]["records"] == 9
    assert more["probability"] < 1e-7


def test_five_percent_of_endpoints_failing_intermittently_are_one_event():
    fleet = Fleet(5000, DAY, 11)
    rows = fleet.rng.choice(np.flatnonzero(fleet.typical.mean(axis=1) > 3), 250, replace=False)
    for column in range(60, 70):
        failing = rows[fleet.rng.random(250) < 0.3]
        fleet.counts[failing, column] *= 10
    found = event_results(JOB, fleet.records(), 5000)
    (event,) = alarms(found)
    said = event["driftline"]["event"]
    assert event["anomaly_score"] > 90
    assert 59 <= (said["start"] - BEGIN) // 1000 // QUARTER <= 60
    assert (said["end"] - BEGIN) // 1000 // QUARTER in (70, 71)
    assert 200 <= said["series"] <= 300
    assert len(said["members"]) == MEMBERS_NAMED
    assert said["kind"] == "spike"
    assert "series at once higher than expected" in event["driftline"]["sentence"]
    assert "partition_field_value" not in event


def test_at_a_minute_a_pause_of_some_minutes_ends_no_event_of_many():
    """Forty endpoints fail for three minutes at a time, with pauses; after a quarter of an hour without it is another event."""
    minutes = [minute + n for minute in (0, 8, 17, 25, 45) for n in range(3)]
    found = [drop | {"timestamp": BEGIN + minute * 60_000} for minute in minutes for drop in drops(0, paths(40))]
    events = [event for _, event in event_results(job(bucket_span="1m"), found, 200) if "partition_field_value" not in event]
    said = [event["driftline"]["event"] for event in events]
    assert [((each["start"] - BEGIN) // 60_000, (each["end"] - BEGIN) // 60_000) for each in said] == [(0, 28), (45, 48)]
    assert [each["series"] for each in said] == [40, 40]
    assert [each["alarm"] for each in said] == [True, False], "what comes back soon and is no worse is the same incident"


def test_a_drop_of_fifteen_percent_over_all_is_one_job_event_and_no_partitions_alarm():
    train = 4 * DAY
    fleet = Fleet(5000, 5 * DAY, 12)
    fleet.thin(slice(None), slice(train + 60, train + 68), 0.85)
    records = [one for one in fleet.records() if one["timestamp"] >= BEGIN + train * QUARTER * 1000]
    found = event_results(JOB, records, 5000, shared_of(fleet, train))
    (event,) = alarms(found)
    assert event["driftline"]["event"]["kind"] == "drop"
    assert "partition_field_value" not in event
    text = event["driftline"]["sentence"]
    assert text.startswith("all 5,000 series together: 1")
    assert "% lower than expected for a Friday 1" in text
    buckets = [document for _, document in bucket_results(JOB, records, 5000, shared_of(fleet, train))]
    bad = [(one["timestamp"] - BEGIN) // 1000 // QUARTER - train for one in buckets if one["anomaly_score"] >= 25]
    assert set(bad) <= set(range(60, 68))
    assert len(bad) >= 4


def test_five_thousand_clean_endpoints_make_at_most_two_job_alarms_a_week():
    train = 4 * DAY
    fleet = Fleet(5000, train + 7 * DAY, 13)
    records = [one for one in fleet.records() if one["timestamp"] >= BEGIN + train * QUARTER * 1000]
    assert len(records) > 500, "each is looked at"
    shared = shared_of(fleet, train)
    assert len(alarms(event_results(JOB, records, 5000, shared))) <= 2
    assert sum(document["anomaly_score"] >= 25 for _, document in bucket_results(JOB, records, 5000, shared)) <= 2


def test_an_outage_and_an_unrelated_spike_close_in_time_are_two_events():
    records = []
    for bucket in range(40, 46):
        records += drops(bucket, paths(12))
    for bucket in range(43, 46):
        records.append(record(bucket, "404", 1e-20, 900.0, 20.0, 1, STATUS))
    drop, spike = alarms(event_results(JOB, records, 60))
    assert drop["driftline"]["event"]["series"] == 12
    assert drop["driftline"]["event"]["kind"] == "drop"
    assert (spike["partition_field_value"], spike["driftline"]["event"]["kind"]) == ("404", "spike")


def test_the_members_of_an_event_name_it_and_do_not_alarm():
    documents = event_results(JOB, drops(40, paths(12)) + drops(41, paths(12)), 60)
    (id_,) = [id_ for id_, document in documents if document["driftline"]["event"]["alarm"]]
    members = [document for _, document in documents if "partition_field_value" in document]
    assert len(members) == 12
    assert {document["driftline"]["event"]["member_of"] for document in members} == {id_}


def test_twenty_series_of_noise_at_once_are_no_alarm():
    fleet = Fleet(20, 7 * DAY, 14)
    records = fleet.records()
    assert alarms(event_results(JOB, records, 20)) == []
    assert all(document["anomaly_score"] < 25 for _, document in bucket_results(JOB, records, 20))


def test_two_detectors_that_see_the_same_partitions_fail_are_one_event():
    records = drops(40, paths(8)) + [record(bucket, path, 1e-12, 90.0, 9.0, 2) for bucket in (40, 41) for path in paths(8)]
    (event,) = alarms(event_results(JOB, records, 60))
    assert event["driftline"]["event"]["detectors"] == [0, 2]


def test_one_partition_seen_by_two_detectors_alarms_once():
    records = drops(40, ["/a"]) + drops(41, ["/a"], detector=2) + drops(41, ["/b"])
    found = alarms(event_results(JOB, records, 60))
    assert [(one["partition_field_value"], one["detector_index"]) for one in found] == [("/a", 0), ("/b", 0)]


def test_the_common_field_values_of_an_event_are_named():
    both = job(
        detectors=[{"function": "count", "partition_field_name": PATH, "by_field_name": STATUS}], influencers=["source.ip"]
    )
    records = [
        record(40, path, 1e-12, 90.0, 9.0, by_field_name=STATUS, by_field_value="503",
               influencers=[{"influencer_field_name": "source.ip", "influencer_field_values": [f"10.0.0.{n}", "10.9.9.9"]}])
        for n, path in enumerate(paths(30))
    ]  # fmt: skip
    (event,) = alarms(event_results(both, records, 300))
    assert event["driftline"]["event"]["common"] == [
        {"field": STATUS, "value": "503", "share": 1.0},
        {"field": "source.ip", "value": "10.9.9.9", "share": 1.0},
    ]


def test_an_event_that_speaks_for_others_is_never_less_than_they_are():
    records = drops(40, paths(3), 1e-5) + drops(40, ["/worst"], 1e-40)
    (event,) = alarms(event_results(JOB, records, 5000))
    assert event["anomaly_score"] >= max(one["record_score"] for one in records)


def test_results_do_not_depend_on_the_order_of_records():
    records = [one for bucket in range(40, 46) for one in drops(bucket, paths(12))]
    turned = records[::-1]
    assert dict(event_results(JOB, records, 60)).keys() == dict(event_results(JOB, turned, 60)).keys()


def bucket(job_id, minute, score, span=15):
    return {"job_id": job_id, "timestamp": BEGIN + minute * 60_000, "bucket_span": span * 60, "anomaly_score": score}


def test_overall_buckets_are_the_mean_of_the_worst_jobs():
    documents = [bucket("a", 0, 80.0), bucket("a", 45, 20.0), bucket("b", 0, 30.0, 60), bucket("a", 60, 10.0)]
    first, second = overall_buckets(documents, top_n=2)
    assert (first["timestamp"], first["bucket_span"], first["overall_score"]) == (BEGIN, 3600, 55.0)
    assert first["jobs"] == [{"job_id": "a", "max_anomaly_score": 80.0}, {"job_id": "b", "max_anomaly_score": 30.0}]
    assert second["overall_score"] == 5.0, "a job without a bucket counts as 0"
    assert overall_buckets(documents)[0]["overall_score"] == 80.0
    assert overall_buckets(documents, top_n=9, jobs=["c"])[0]["overall_score"] == pytest.approx(110 / 3, abs=1e-3)
    assert overall_buckets([]) == []


@pytest.mark.parametrize("wrong", [{"top_n": 0}, {"bucket_span": timedelta(minutes=15)}])
def test_overall_buckets_that_cannot_be_are_refused(wrong):
    with pytest.raises(DriftlineError):
        overall_buckets([bucket("a", 0, 80.0, 60)], **wrong)


def test_what_comes_back_within_a_day_and_is_no_worse_does_not_alarm_again():
    again = [*drops(40, ["/a"]), *drops(60, ["/a"], 1e-13), *drops(200, ["/a"])]
    first, second, third = (document["driftline"]["event"] for _, document in event_results(JOB, again, 60))
    assert (first["alarm"], second["alarm"], third["alarm"]) == (True, False, True)
    assert second["member_of"] == event_results(JOB, again, 60)[0][0]
    worse = [*drops(40, ["/a"], 1e-6), *drops(60, ["/a"], 1e-60)]
    assert len(alarms(event_results(JOB, worse, 60))) == 2


def shift(bucket, probability=1e-7, actual=54.0):
    made = record(bucket, "/a", probability, actual, 34.0)
    return [made | {"driftline": made["driftline"] | {"kind": "level_shift"}}]


LATER = 40 + 3 * DAY // 2


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (shift(LATER), 1),
        (shift(LATER, 1e-6, 10.0), 1),
        (shift(LATER, 1e-9, 10.0), 2),
        (drops(LATER, ["/a"], 1e-7), 2),
        (shift(42 + 2 * DAY), 2),
    ],
)
def test_a_change_within_two_days_of_one_that_was_as_surprising_is_not_told_again(later, told):
    found = event_results(JOB, [*shift(40), *later], 60)
    assert len(alarms(found)) == told
    assert found[1][1]["driftline"]["event"].get("member_of") == (found[0][0] if told == 1 else None)


def test_many_series_that_fail_again_within_a_day_alarm_once_and_others_by_themselves():
    again = drops(40, paths(12)) + drops(60, paths(10))
    assert len(alarms(event_results(JOB, again, 60))) == 1
    others = drops(40, paths(12)) + drops(60, [f"/q{n}" for n in range(12)])
    assert len(alarms(event_results(JOB, others, 60))) == 2


def test_two_job_events_in_one_bucket_are_two_documents():
    up = [record(40, f"s{n}", 1e-12, 90.0, 9.0, 1, STATUS) for n in range(5)]
    found = event_results(JOB, drops(40, paths(12)) + up, 60)
    assert len(alarms(found)) == 2
    assert len(dict(found)) == len(found)


def test_no_data_at_all_is_told_as_that():
    gone = {(BEGIN + t * QUARTER * 1000, 0): Shared(40.0, -9.0, 120, 0.0, 3400.0) for t in range(4)}
    ((_, event),) = event_results(JOB, [], 120, gone)
    assert event["driftline"]["event"]["kind"] == "silence"
    assert event["driftline"]["sentence"].startswith("no data at all: all 120 series are silent, 3,400 expected for ")
    assert event["driftline"]["sentence"].endswith("for 1 hour")
    less = {place: Shared(40.0, -9.0, 120, 1700.0, 3400.0) for place in gone}
    ((_, event),) = event_results(JOB, [], 120, less)
    assert event["driftline"]["event"]["kind"] == "drop"


def test_unrelated_incidents_that_overlap_keep_their_own_alarms():
    """Of 200 endpoints a dozen are up to something at any time, since different times: no crowd, however many."""
    found = [
        record(bucket, f"/p{number}", 1e-9, 90.0, 9.0) for number in range(60) for bucket in range(number * 5, number * 5 + 60)
    ]
    events = event_results(JOB, found, 200)
    assert all("partition_field_value" in event for _, event in events)
    assert len({event["partition_field_value"] for event in alarms(events)}) == 60


def test_one_that_is_far_louder_than_a_crowd_has_an_alarm_of_its_own():
    mild = [record(0, f"/p{number}", 10**-4.6, 30.0, 9.0) for number in range(12)]
    loud = record(0, "/loud", 1e-40, 900.0, 9.0)
    found = alarms(event_results(JOB, [*mild, loud], 200))
    assert "/loud" in [event.get("partition_field_value") for event in found]
    same = [record(0, f"/p{number}", 1e-40, 900.0, 9.0) for number in range(12)]
    (one,) = alarms(event_results(JOB, same, 200))
    assert one["driftline"]["event"]["series"] == 12


def test_three_that_fail_in_the_same_bucket_are_one_event():
    down = [record(bucket, f"/p{number}", 1e-9, 2.0, 60.0) for number in range(3) for bucket in range(4)]
    (event,) = alarms(event_results(JOB, down, 60))
    assert event["driftline"]["event"]["series"] == 3
    assert event["anomaly_score"] >= max(each["record_score"] for each in down)
    apart = [record(bucket + number, f"/p{number}", 1e-9, 2.0, 60.0) for number in range(3) for bucket in range(4)]
    assert len(alarms(event_results(JOB, apart, 60))) == 3
    # two of them get far worse: they alarm by themselves, and so does the third, which is no crowd alone
    mild = [record(bucket, f"/p{number}", 1e-6, 20.0, 60.0) for number in range(3) for bucket in range(4)]
    worse = [*mild, *(record(4, f"/p{number}", 1e-40, 0.0, 60.0) for number in range(2))]
    found = alarms(event_results(JOB, worse, 60))
    assert sorted(event.get("partition_field_value", "") for event in found) == ["/p0", "/p1", "/p2"]


@pytest.mark.parametrize("seed", range(6))
def test_events_of_a_stretch_need_no_more_than_the_records_around_it(seed):
    """What a run finds that sees the records near its interval only is what one finds that sees all."""
    rng = np.random.default_rng(seed)
    records = []
    for _ in range(260):
        start, length = rng.integers(0, 14 * DAY), rng.integers(1, 60)
        probability = 10.0 ** -rng.uniform(3.5, 20)
        records += [(f"/p{rng.integers(0, 60)}", bucket, probability) for bucket in range(start, start + length)]
    for start in rng.integers(0, 14 * DAY, 12):
        records += [(f"/p{path}", bucket, 1e-9) for path in range(20) for bucket in range(start, start + rng.integers(1, 120))]
    unique = {(path, bucket): probability for path, bucket, probability in records}
    found = [record(bucket, path, probability, 2.0, 60.0) for (path, bucket), probability in sorted(unique.items())]
    for each in found:
        if rng.random() < 0.5:
            each["driftline"]["kind"] = "level_shift"
    first, last = 7 * DAY, 8 * DAY

    def inside(events):
        edges = BEGIN + first * QUARTER * 1000, BEGIN + last * QUARTER * 1000
        return {id_: event for id_, event in events if edges[0] <= event["timestamp"] < edges[1]}

    span = JOB.bucket_span
    reach = range(first - look_back(span), last + look_ahead(span))
    near = [each for each in found if (each["timestamp"] - BEGIN) // (QUARTER * 1000) in reach]
    assert len(near) < len(found)
    assert inside(event_results(JOB, near, 60)) == inside(event_results(JOB, found, 60)) != {}
