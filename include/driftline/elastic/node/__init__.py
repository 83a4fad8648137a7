"""The embedded Elasticsearch: a real node from packages, for who has no cluster."""

from driftline.elastic.node.config import NodeOptions
from driftline.elastic.node.control import Node, log_lines, running_url, start, status, stop

__all__ = ["Node", "NodeOptions", "log_lines", "running_url", "start", "status", "stop"]
