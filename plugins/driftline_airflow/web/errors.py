"""Driftline's errors as answers."""

from __future__ import annotations

from fastapi import status

from driftline.core.errors import ClusterDownError, ClusterError, DriftlineError, NodeError, ServiceError, TakenError


def status_of(error: DriftlineError) -> int:
    """503 when the cluster is away, 404 for what is not there, 409 for an id that is taken, 400 when the request is wrong."""
    if isinstance(error, ClusterDownError | NodeError):
        return status.HTTP_503_SERVICE_UNAVAILABLE
    if isinstance(error, ClusterError | ServiceError):
        return status.HTTP_502_BAD_GATEWAY
    if error.what.startswith(("there is no ", "no snapshot ")):
        return status.HTTP_404_NOT_FOUND
    if isinstance(error, TakenError):
        return status.HTTP_409_CONFLICT
    return status.HTTP_400_BAD_REQUEST
