"""Where the runs of a grid are sent: processes of this machine, or a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Literal

from joblib import parallel_config

Backend = Literal["loky", "dask", "ray"]

# Imported only where they are asked for: nothing else needs them.
_PACKAGES = {"dask": "distributed", "ray": "ray"}


def check_backend(backend: Backend, address: str) -> None:
    """Refuse a backend that cannot be used.

    Args:
        backend: `loky` for processes of this machine; `dask` or `ray` for a cluster.
        address: Of the cluster.

    Raises:
        ValueError: If there is no address for a cluster, one for this machine, or the package
            that speaks to the cluster is not installed.
    """
    if backend == "loky":
        if address:
            raise ValueError(f"address={address!r} goes with backend=dask or ray, not with loky.")
        return
    if not address:
        raise ValueError(
            f"backend={backend!r} needs the address of the cluster, for example "
            + ("tcp://127.0.0.1:8786." if backend == "dask" else "auto.")
        )
    package = _PACKAGES[backend]
    try:
        import_module(package)
    except ImportError:
        raise ValueError(
            f"backend={backend!r} needs the package {package}, which is not installed; "
            f"pip install {package}, or use backend=loky."
        ) from None


@contextmanager
def connected(backend: Backend, address: str, jobs: int) -> Iterator[None]:
    """Within this, joblib sends its work to the backend.

    Args:
        backend: See `check_backend`.
        address: Likewise.
        jobs: How many processes of this machine; a cluster has as many as it has.
    """
    check_backend(backend, address)
    if backend == "dask":
        distributed = import_module("distributed")
        with distributed.Client(address), parallel_config("dask", n_jobs=-1):
            yield
    elif backend == "ray":
        ray = import_module("ray")
        ray.init(address=address)
        import_module("ray.util.joblib").register_ray()
        try:
            with parallel_config("ray", n_jobs=-1):
                yield
        finally:
            ray.shutdown()
    else:
        with parallel_config("loky", n_jobs=jobs):
            yield
