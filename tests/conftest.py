"""Settings for all tests. The environment is set before anything imports numpy, or it has no effect."""

import os

# One BLAS thread: on small matrices more threads wait for each other, and sums may round differently.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

threadpool_limits(limits=1)  # for libraries that a pytest plugin has loaded already; stays in force

# derandomize: the same examples in every run; no deadline: the first call of a compiled function is slow
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")
