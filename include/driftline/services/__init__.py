"""The two services of one machine, Elasticsearch and Airflow, and the demo that runs on them."""
