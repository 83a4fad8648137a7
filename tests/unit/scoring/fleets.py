"""Fleets of endpoints as the generator makes them (generator/rates.py), whose expectation and noise are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.stats import nbinom

from driftline.core.job import Job

START = datetime(2026, 3, 2, tzinfo=UTC)
QUARTER = 15 * 60
# of an endpoint's quarter of an hour: 4 % by the hour, and gamma minutes of shape 25
SHAPE = 1 / (0.04**2 + 1 / (25 * 15))
PATH, STATUS = "url.path", "http.response.status_code"


def job(**more):
    detectors = [
        {"function": "count", "partition_field_name": PATH},
        {"function": "count", "partition_field_name": STATUS},
        {"function": "distinct_count", "field_name": "source.ip", "partition_field_name": PATH},
    ]
    definition = {"job_id": "web", "bucket_span": "15m", "detectors": detectors, "datafeed": {"indices": ["x"]}}
    return Job.parse(definition | more, where="t")


def stamps(buckets):
    """(T,) starts of quarters as datetime64."""
    return np.datetime64(START.replace(tzinfo=None), "s") + np.arange(buckets) * np.timedelta64(QUARTER, "s")


class Fleet:
    """N endpoints over T quarters.

    Attributes:
        typical: (N, T) what is expected.
        counts: (N, T) what came; the site has noise of its own.
    """

    def __init__(self, series, buckets, seed, *, site=0.015):
        rng = self.rng = np.random.default_rng(seed)
        base = np.exp(rng.normal(1.0, 1.3, series))
        curve = np.exp(1.1 * np.cos(2 * np.pi * (np.arange(buckets) / 4 % 24 - 15.5) / 24))
        self.typical = base[:, None] * curve / curve.mean()
        shared = np.exp(rng.normal(0, site, buckets))
        self.counts = rng.poisson(self.typical * shared * rng.gamma(SHAPE, 1 / SHAPE, self.typical.shape)).astype(float)

    def thin(self, rows, columns, left):
        """A drop: of these buckets' requests only a share is left."""
        self.counts[rows, columns] = self.rng.binomial(self.counts[rows, columns].astype(int), left)

    @property
    def z(self):
        """(N, T) residuals of square roots in units of their noise."""
        sd = np.sqrt(0.25 + self.typical / SHAPE / 4)
        return (np.sqrt(self.counts) - np.sqrt(self.typical)) / sd

    def records(self, *, detector=0, field=PATH, least=3.3, name="/{}".format):
        """The record documents of all buckets at least this surprising, by the exact law of the counts."""
        rows, columns = np.nonzero(np.abs(self.z) > 2.5)
        count, typical = self.counts[rows, columns], self.typical[rows, columns]
        p = SHAPE / (SHAPE + typical)
        tail = 2 * np.minimum(nbinom.cdf(count, SHAPE, p), nbinom.sf(count - 1, SHAPE, p))
        seen = np.flatnonzero(tail < 10.0**-least)
        return [
            record(int(columns[n]), name(rows[n]), float(tail[n]), float(count[n]), float(typical[n]), detector, field)
            for n in seen
        ]


def record(bucket, value, probability, actual, typical, detector=0, field=PATH, **more):
    """A record document as scoring makes it."""
    from driftline.scoring.score import to_score

    score = float(to_score(min(-np.log10(max(probability, 1e-300)), 300), timedelta(seconds=QUARTER)))
    return {
        "timestamp": int(START.timestamp() * 1000) + bucket * QUARTER * 1000,
        "detector_index": detector,
        "partition_field_name": field,
        "partition_field_value": value,
        "record_score": max(score, 1.0),
        "probability": max(probability, 1e-300),
        "actual": [actual],
        "typical": [typical],
        "driftline": {"kind": "spike" if actual > typical else "drop", "snapshot_id": "s", "in_sample": False, "quality": "pass"},
    } | more


def alarms(documents):
    """The events that alarm."""
    return [document for _, document in documents if document["driftline"]["event"]["alarm"]]
