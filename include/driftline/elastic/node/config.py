"""The node's settings folder, written anew at each start."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from driftline.core.errors import NodeError
from driftline.elastic.node.places import Places, hand_over, run_as

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WATERMARKS = {"low": "600mb", "high": "400mb", "flood_stage": "200mb"}
"""Free bytes rather than the default shares of the disk: 5 % of a large disk is no reason to refuse writes."""

UNWANTED_JVM_OPTIONS = (
    "jdk.incubator.vector",  # a module that the wheel's runtime lacks
    "-Xlog:gc",  # 32 files of 64 MB that nobody reads
    "HeapDumpOnOutOfMemoryError",  # a file as large as the heap
)

LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%consoleException%n
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${sys:es.logs.base_path}/${sys:es.logs.cluster_name}.log
appender.file.filePattern = ${sys:es.logs.base_path}/${sys:es.logs.cluster_name}-%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 16MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
appender.header_warning.type = HeaderWarningAppender
appender.header_warning.name = header_warning
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
rootLogger.appenderRef.file.ref = file
logger.deprecation.name = org.elasticsearch.deprecation
logger.deprecation.level = warn
logger.deprecation.appenderRef.header_warning.ref = header_warning
logger.deprecation.appenderRef.file.ref = file
logger.deprecation.additivity = false
"""


@dataclass(frozen=True)
class NodeOptions:
    """How a node differs from the default one; what tests of passwords, rights and TLS need.

    Attributes:
        home: Its folder; by default the one that belongs to the state folder.
        heap: The size of the heap; by default `DRIFTLINE_NODE_HEAP`.
        settings: Lines for elasticsearch.yml, over ours.
        users: Name to password and roles. With any, security is on: whoever starts the node asks as the first of them.
        roles: What roles.yml holds.
        files: Further files in the settings folder, such as a key and a certificate; settings name them relative to it.
    """

    home: Path | None = None
    heap: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    users: Mapping[str, tuple[str, list[str]]] = field(default_factory=dict)
    roles: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        """`https` when the settings turn TLS on."""
        return "https" if self.settings.get("xpack.security.http.ssl.enabled") else "http"

    @property
    def auth(self) -> tuple[str, str] | None:
        """Name and password of the first user."""
        return next(((name, password) for name, (password, _) in self.users.items()), None)


def settings(places: Places, port: int, options: NodeOptions) -> dict[str, Any]:
    """What elasticsearch.yml holds: one node, on the loopback address only, without passwords unless users are given."""
    return {
        "cluster.name": "driftline",
        "node.name": "embedded",
        "path.data": str(places.data),
        "path.logs": str(places.logs),
        "http.host": "127.0.0.1",
        "http.port": port,
        "transport.host": "127.0.0.1",
        "discovery.type": "single-node",
        "xpack.security.enabled": bool(options.users),
        "cluster.max_shards_per_node": 5000,  # monthly indices of many jobs; a shard is small here
        **{f"cluster.routing.allocation.disk.watermark.{name}": value for name, value in WATERMARKS.items()},
        **options.settings,
    }


def write(places: Places, program: Path, java: Path, port: int, options: NodeOptions) -> None:
    """Writes the settings folder and gives it to the node's user.

    Raises:
        NodeError: A folder cannot be written, or a user cannot be made.
    """
    shutil.rmtree(places.tmp, ignore_errors=True)
    for folder in (places.data, places.logs, places.tmp, places.config):
        hand_over(folder)
    config = places.config
    jvm = (program / "config" / "jvm.options").read_text().splitlines(keepends=True)
    (config / "jvm.options").write_text("".join(line for line in jvm if not any(word in line for word in UNWANTED_JVM_OPTIONS)))
    (config / "elasticsearch.yml").write_text(yaml.safe_dump(settings(places, port, options)))
    (config / "log4j2.properties").write_text(LOG4J)
    (config / "roles.yml").write_text(yaml.safe_dump(dict(options.roles)) if options.roles else "")
    for name in ("users", "users_roles"):
        (config / name).write_text("")
    for name, content in options.files.items():
        (config / name).write_bytes(content)
    hand_over(config)
    for name, (password, roles) in options.users.items():
        _add_user(places, program, java, name, password, roles)


def environment(places: Places, java: Path) -> dict[str, str]:
    """The environment of Elasticsearch's programs, without whatever else ours holds."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "ES_PATH_CONF": str(places.config),
        "ES_TMPDIR": str(places.tmp),
        "ES_JAVA_HOME": str(java),
    }


def _add_user(places: Places, program: Path, java: Path, name: str, password: str, roles: list[str]) -> None:
    command = [str(program / "bin" / "elasticsearch-users"), "useradd", name, "-p", password, "-r", ",".join(roles)]
    done = subprocess.run(  # noqa: S603  (our own distribution, no shell)
        command, capture_output=True, text=True, check=False, cwd="/", env=environment(places, java), **run_as()
    )
    if done.returncode:
        raise NodeError(f"the user '{name}' cannot be made: {done.stderr.strip()[-300:] or done.stdout.strip()[-300:]}")
