"""The images of an experiment, looked at before any work."""

from experiments.runner.files import DamagedFile
from psp_data import Images, load


def load_images(name: str) -> Images:
    """An image set of psp-data.

    Args:
        name: See `psp_data.load`.

    Raises:
        OSError: If it is not there and could not be downloaded.
        DamagedFile: If its file does not hold it.

    Example:
        >>> from experiments.runner import load_images
        >>> load_images("digits").num_classes
        10
    """
    try:
        return load(name)
    except ValueError as error:
        raise DamagedFile(str(error)) from None
