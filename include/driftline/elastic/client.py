"""The connection: which cluster, with which credentials, and its errors in words a user can act on."""

from __future__ import annotations

import functools
import os
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import quote, unquote, urlsplit

import orjson
from elastic_transport import JsonSerializer, Transport
from elasticsearch import (
    ApiError,
    ConnectionError,
    ConnectionTimeout,
    Elasticsearch,
    OrjsonSerializer,
    SerializationError,
    TransportError,
)

from driftline.core.errors import ClusterDownError, ClusterError, SourceIndexError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elastic_transport import TransportApiResponse

P = ParamSpec("P")
R = TypeVar("R")

URL, AIRFLOW_CONNECTION = "DRIFTLINE_ELASTICSEARCH_URL", "AIRFLOW_CONN_ELASTICSEARCH_DEFAULT"
PATIENCE: dict[str, Any] = {"request_timeout": 120, "retry_on_timeout": True, "max_retries": 3}
MOMENTS = (0.1, 0.3, 0.6)  # seconds
RAW, USUAL = "application/json", "application/vnd.elasticsearch+json"  # the client asks for the second in all calls of its own
_NO_CLUSTER = f"Start the embedded one with 'driftline node start', or set {URL} or the Airflow connection elasticsearch_default."


def connect(settings: dict[str, Any] | None = None) -> Elasticsearch:
    """A client for the cluster that `settings` (or else the environment, or else the embedded node) names.

    Args:
        settings: As `find_cluster` returns them; Airflow's hook passes what its connection holds.

    Raises:
        ClusterDownError: No cluster is set and the embedded node does not run.
    """
    found = settings or find_cluster()
    if found is None:
        raise ClusterDownError("no Elasticsearch is set and the embedded one does not run", fix=_NO_CLUSTER)
    options = {"serializers": {RAW: _Raw(), USUAL: OrjsonSerializer()}, "http_compress": False, **PATIENCE}
    options["transport_class"] = _Waiting
    return Elasticsearch(found["url"], **options, **{key: value for key, value in found.items() if key != "url" and value})


class _Waiting(Transport):
    """Asks again a moment later where shards are not ready, as while an index is being made: the client's retries do not wait."""

    def perform_request(self, *args: Any, **options: Any) -> TransportApiResponse:  # noqa: ANN401 - as the transport has it
        for seconds in MOMENTS:
            answer = super().perform_request(*args, **options)
            if answer.meta.status != 503:
                return answer
            time.sleep(seconds)
        return super().perform_request(*args, **options)


class _Raw(JsonSerializer):
    """Leaves answers as they come."""

    mimetype = RAW

    def loads(self, data: bytes) -> bytes:
        return data


def search_raw(client: Elasticsearch, index: list[str], body: dict[str, Any], *, preference: str, where: str) -> bytes:
    """A search's answer as JSON text, for who has a faster way to columns than by an object for each bucket.

    Raises:
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
    """
    target = f"/{','.join(quote(name, safe='*') for name in index)}/_search?preference={quote(preference)}"
    headers = {**client._headers, "content-type": RAW, "accept": RAW}
    with explained(where):
        answer = client.transport.perform_request("POST", target, body=body, headers=headers, **PATIENCE)
        if answer.meta.status != 200:
            client.search(index=index, **body)  # says what is wrong
    if answer.meta.status != 200 or not isinstance(answer.body, bytes):
        raise ClusterError(f"Elasticsearch answers {answer.meta.status} as {answer.meta.mimetype}", where=where, expected=RAW)
    return answer.body


def find_cluster() -> dict[str, Any] | None:
    """The cluster's settings: `url`, and `basic_auth`, `api_key`, `ca_certs`, `verify_certs` where set.

    Looks at `DRIFTLINE_ELASTICSEARCH_URL` (with `DRIFTLINE_ELASTICSEARCH_USER`, `_PASSWORD`, `_API_KEY`, `_CA`), then at
    `AIRFLOW_CONN_ELASTICSEARCH_DEFAULT` (URI or JSON), then for the running embedded node.
    """
    return own_cluster() or _embedded()


def own_cluster() -> dict[str, Any] | None:
    """The user's own cluster as the environment names it, or None."""
    if url := os.environ.get(URL):
        user, password = os.environ.get(f"{URL[:-4]}_USER"), os.environ.get(f"{URL[:-4]}_PASSWORD")
        settings = split_credentials(url)
        if user:
            settings["basic_auth"] = (user, password or "")
        return settings | {
            "api_key": os.environ.get(f"{URL[:-4]}_API_KEY"),
            "ca_certs": os.environ.get(f"{URL[:-4]}_CA"),
        }
    if text := os.environ.get(AIRFLOW_CONNECTION):
        return from_airflow(text)
    return None


def split_credentials(url: str) -> dict[str, Any]:
    """`http://user:secret@host:9200` as a bare URL and `basic_auth`, so that no message ever prints the secret."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ClusterError(
            f"'{parts.scheme}://{parts.hostname or ''}' is no address of a cluster", where=URL, expected="http(s)://host:port"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 9200)
    settings: dict[str, Any] = {"url": f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"}
    if parts.username:
        settings["basic_auth"] = (unquote(parts.username), unquote(parts.password or ""))
    return settings


def from_airflow(text: str) -> dict[str, Any]:
    """Settings from an Airflow connection, as JSON or as a URI (its `schema` or the extra `scheme` say http or https)."""
    if not text.lstrip().startswith("{"):
        parts = urlsplit(text)
        scheme = parts.scheme if parts.scheme in {"http", "https"} else "http"
        return split_credentials(parts._replace(scheme=scheme, query="").geturl())
    fields = orjson.loads(text)
    extra = fields.get("extra") or {}
    extra = orjson.loads(extra) if isinstance(extra, str) else extra
    return connection_settings(**{key: fields.get(key) for key in ("host", "port", "login", "password", "schema")}, extra=extra)


def connection_settings(
    *, host: str | None, port: int | None, login: str | None, password: str | None, schema: str | None, extra: dict[str, Any]
) -> dict[str, Any]:
    """Settings from the fields of an Airflow connection; `extra` may hold `scheme`, `api_key`, `ca_certs`, `verify_certs`."""
    scheme = extra.get("scheme") or schema or "http"
    address = host if "://" in (host or "") else f"{scheme}://{host or '127.0.0.1'}"
    settings = split_credentials(f"{address}:{port}" if port else str(address))
    if login:
        settings["basic_auth"] = (login, password or "")
    return settings | {key: extra.get(key) for key in ("api_key", "ca_certs", "verify_certs")}


def _embedded() -> dict[str, Any] | None:
    from driftline.elastic.node import running_url  # the node module reads no client; late, as most runs have a cluster

    url = running_url()
    return {"url": url} if url else None


def as_url(settings: dict[str, Any]) -> str:
    """The settings as one URL with credentials, for a child's environment. Never print it."""
    parts = urlsplit(settings["url"])
    if auth := settings.get("basic_auth"):
        parts = parts._replace(netloc=f"{quote(auth[0], safe='')}:{quote(auth[1], safe='')}@{parts.netloc}")
    return str(parts.geturl())


@contextmanager
def explained(where: str = "") -> Iterator[None]:
    """Turns the client's exceptions into Driftline's.

    Raises:
        ClusterDownError: Nobody answers.
        ClusterError: Wrong credentials, missing rights, or a request that this cluster cannot serve.
        SourceIndexError: The index does not exist.
    """
    try:
        yield
    except (ConnectionError, ConnectionTimeout) as error:
        raise ClusterDownError(
            f"Elasticsearch does not answer ({_short(error)})", where=where, fix="Is it running? " + _NO_CLUSTER
        ) from error
    except ApiError as error:
        raise _explain(error, where) from error
    except (TransportError, SerializationError) as error:
        raise ClusterError(f"the request failed: {_short(error)}", where=where) from error


# What the minimal distribution answers where a module is not there.
_MISSING = re.compile(r"script_lang not supported \[painless\]|Unknown aggregation type (\[\w+\])")


def _explain(error: ApiError, where: str) -> ClusterError | SourceIndexError:
    reason = _reason(error)
    if error.status_code == 401:
        return ClusterError(
            "Elasticsearch refuses the user name, password or API key", where=where, fix="Check the connection's credentials."
        )
    if error.status_code == 403:
        return ClusterError(f"the user may not do this: {reason}", where=where, fix="Grant the right to the user's role.")
    if "index_not_found" in str(error.error):
        return SourceIndexError(f"the index does not exist: {reason}", where=where, fix="Check its name, or ingest first.")
    if missing := _MISSING.search(f"{reason} {error.body}"):
        return ClusterError(
            f"this cluster cannot do {'Painless scripts' if 'painless' in missing[0] else f'the aggregation {missing[1]}'}",
            where=where,
            fix="A full Elasticsearch can; the embedded one has neither scripts nor aggregations that need them.",
        )
    if error.status_code in {429, 502, 503, 504}:
        return ClusterDownError(f"Elasticsearch is overloaded or not ready: {reason}", where=where)
    return ClusterError(f"Elasticsearch answers {error.status_code}: {reason}", where=where)


def _reason(error: ApiError) -> str:
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        inner = body["error"]
        roots = inner.get("root_cause") or [inner]
        return str(roots[0].get("reason") or inner.get("type"))[:300]
    return _short(error)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def talks_to_cluster(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: the function's client errors come out explained."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with explained():
            return function(*args, **kwargs)

    return wrapped
