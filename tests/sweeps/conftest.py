import pytest

pytest.importorskip("zarr")


@pytest.fixture(scope="module")
def client():
    """A client of two worker processes on this machine."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as environment:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment.setenv(name, "2")  # of the workers
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        )
    # a worker that needs longer to come back, on a busy machine, would be given up for good
    patient = dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
    with patient, cluster, distributed.Client(cluster) as connected:
        yield connected
