"""Evidently through its SDK: the data-drift preset with PSI over numeric columns.

python evidently_worker.py
"""

import time

_start = time.perf_counter()
import evidently  # noqa: E402 - its import time is one of the numbers
from evidently import Report  # noqa: E402 - part of the timed import
from evidently.presets import DataDriftPreset  # noqa: E402 - part of the timed import

IMPORT_SECONDS = time.perf_counter() - _start

import numpy as np  # noqa: E402 - after the timed import
import pandas as pd  # noqa: E402 - after the timed import
from workers._protocol import serve, timed  # noqa: E402 - after the timed import


def report(rows, columns, repeat):
    random = np.random.default_rng(0)
    names = [f"f{i}" for i in range(columns)]
    reference = pd.DataFrame(random.normal(size=(rows, columns)), columns=names)
    current = pd.DataFrame(random.normal(0.1, 1, size=(rows, columns)), columns=names)
    return timed(
        lambda: Report([DataDriftPreset(num_method="psi")]).run(current, reference).dict(), repeat
    )


def facts():
    import resource

    return {
        "version": evidently.__version__,
        "import_s": IMPORT_SECONDS,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


serve({"report": report, "facts": facts})
