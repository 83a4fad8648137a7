# Airflow with Driftline in it: every component of docker-compose.yaml (or of a Kubernetes chart) runs this one image.
FROM apache/airflow:3.3.2

USER root
# LightGBM's threads.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
# Volumes take over the owner of the folder that they are mounted on.
RUN install --directory --owner=airflow --group=0 --mode=0775 /opt/driftline /opt/airflow/bundles /var/lib/driftline /input
USER airflow

# The pins first: they change seldom, and the layer is large.
COPY --chown=airflow:0 requirements-production.txt /opt/driftline/
RUN pip install --no-cache-dir --requirement /opt/driftline/requirements-production.txt

COPY --chown=airflow:0 pyproject.toml README.md /opt/driftline/
COPY --chown=airflow:0 tools/production_init.py /opt/driftline/tools/
COPY --chown=airflow:0 include /opt/driftline/include
COPY --chown=airflow:0 plugins /opt/driftline/plugins
COPY --chown=airflow:0 dags /opt/driftline/dags
# Editable, so that Airflow's plugins folder and the import path hold the same files and not two copies.
RUN pip install --no-cache-dir --no-deps --editable /opt/driftline \
    && driftline --help > /dev/null
