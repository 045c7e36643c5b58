"""Backends of joblib for the runs of a grid: processes of this machine, or a Dask cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Literal

from joblib import parallel_config

Backend = Literal["loky", "dask"]


def check_backend(backend: Backend, address: str) -> None:
    """Check that a backend can be used: `loky` without an address, `dask` with a scheduler's.

    Raises:
        ValueError: If the address is missing or superfluous, or `distributed` is not installed.
    """
    if backend == "loky":
        if address:
            raise ValueError(
                f"address={address!r} is for backend=dask, not loky; leave it out, or use dask."
            )
        return
    if not address:
        raise ValueError(
            "backend='dask' needs the address of a cluster, for example tcp://127.0.0.1:8786."
        )
    try:
        import_module("distributed")
    except ImportError:
        raise ValueError(
            "backend='dask' needs the package distributed, which is not installed; "
            "pip install distributed, or use backend=loky."
        ) from None


@contextmanager
def connected(backend: Backend, address: str, jobs: int) -> Iterator[None]:
    """Make joblib use `jobs` processes, or all workers of the cluster, inside this context."""
    if backend == "loky":
        with parallel_config("loky", n_jobs=jobs):
            yield
        return
    distributed = import_module("distributed")
    with distributed.Client(address), parallel_config("dask", n_jobs=-1):
        yield
