"""All that imports Airflow: hook, operators, job DAGs, windows and links."""
