"""The vocabulary: jobs, detectors, time, series, results and errors. Imports neither Airflow, Elasticsearch nor Prophet."""
