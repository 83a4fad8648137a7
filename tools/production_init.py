"""What production needs before its first start: the database's tables, Airflow's users, Driftline's user of Elasticsearch.

Runs at every start of docker-compose.yaml and changes only what is missing or has another password now. Passwords are read from
the environment and stand in no command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from driftline.core.errors import DriftlineError
from driftline.elastic.client import connect, explained

ROLE = "driftline"
USERS = {"admin": "Admin", "editor": "User", "viewer": "Viewer"}
"""Airflow's first users, and their roles."""


def role(data_indices: str) -> dict[str, Any]:
    """The rights that Driftline needs: all on its own indices; to read, write and create others, but not to delete them.

    Args:
        data_indices: Patterns with commas between: what jobs read and sources write.
    """
    return {
        "cluster": ["monitor", "manage_index_templates"],
        "indices": [
            {"names": ["driftline-*"], "privileges": ["all"]},
            {
                "names": [name.strip() for name in data_indices.split(",") if name.strip()],
                "privileges": [
                    "read", "write", "create_index", "maintenance", "view_index_metadata", "monitor", "indices:admin/mapping/put",
                ],
            },
        ],
    }  # fmt: skip


def airflow(*arguments: str) -> None:
    """Runs one of Airflow's commands. Its arguments go through standard input, as a command line is for all to see."""
    program = "import json, sys; sys.argv = json.load(sys.stdin); from airflow.__main__ import main; main()"
    words = json.dumps(["airflow", *arguments])
    done = subprocess.run([sys.executable, "-c", program], input=words, text=True, check=False)  # noqa: S603  (no shell, a constant)
    if done.returncode != 0:
        raise SystemExit(f"'airflow {' '.join(arguments[:2])}' ended with {done.returncode}; its message stands above")


def make_users() -> None:
    """Airflow's users; those that are there stay as they are."""
    for name, granted in USERS.items():
        password = os.environ[f"DRIFTLINE_{name.upper()}_PASSWORD"]
        fields = {"username": name, "role": granted, "firstname": name, "lastname": "-", "email": f"{name}@localhost.invalid"}
        airflow("users", "create", *(f"--{key}={value}" for key, value in {**fields, "password": password}.items()))


def make_cluster_user() -> None:
    """Driftline's role and user in Elasticsearch, made by the superuser."""
    url, name = os.environ["DRIFTLINE_ELASTICSEARCH_URL"], os.environ["DRIFTLINE_ELASTICSEARCH_USER"]
    owner = {"url": url, "basic_auth": ("elastic", os.environ["ELASTIC_PASSWORD"])}
    with connect({**owner, "ca_certs": os.environ.get("DRIFTLINE_ELASTICSEARCH_CA")}) as client, explained(url):
        client.security.put_role(name=ROLE, **role(os.environ.get("DRIFTLINE_DATA_INDICES") or "*"))
        client.security.put_user(username=name, password=os.environ["DRIFTLINE_ELASTICSEARCH_PASSWORD"], roles=[ROLE])


def main() -> None:
    """All of it, in the order in which one needs the other."""
    airflow("db", "migrate")
    make_users()
    if os.environ.get("ELASTIC_PASSWORD"):  # empty: the cluster is the user's own, and so is its user
        try:
            make_cluster_user()
        except DriftlineError as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
