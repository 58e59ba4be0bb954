import pytest

pytest.importorskip("zarr")


@pytest.fixture(scope="module")
def client():
    """A client of two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as environment:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment.setenv(name, "2")  # of the workers
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        )
    with cluster, distributed.Client(cluster) as connected:
        yield connected
