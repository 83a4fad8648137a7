"""Finds anomalies in, and forecasts, everything counted or measured in Elasticsearch. Knows nothing of Airflow."""

__version__ = "0.1.0"
