"""Jobs and sources as DAGs: wiring only, one stage a file. The stubs of the definitions bundle import `dags_of`."""

from driftline_dags.build import dags_of

__all__ = ["dags_of"]
