"""Run by itself, where statsforecast is installed: fits and predicts series, and tells the processor time a series."""

import json
import sys
import time

import numpy as np


def main() -> None:
    """Reads `values`, `seasons`, `steps`; writes `cpu_seconds`."""
    from statsforecast.models import MSTL  # type: ignore[import-not-found]

    given = json.load(sys.stdin)
    values = np.asarray(given["values"], dtype=np.float64)

    def one(row: np.ndarray) -> None:
        MSTL(season_length=given["seasons"]).fit(row).predict(h=given["steps"], level=[80])

    one(values[0])  # compiles
    started = time.process_time()
    for row in values:
        one(row)
    print(json.dumps({"cpu_seconds": (time.process_time() - started) / len(values)}))


if __name__ == "__main__":
    main()
