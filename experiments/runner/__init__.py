"""What every experiment shares: its command line, its grid of runs, its record."""

from experiments.runner.command_line import parse as parse
from experiments.runner.device import resolve_device as resolve_device
from experiments.runner.families import FAMILIES as FAMILIES
from experiments.runner.grid import run_grid as run_grid
from experiments.runner.optimiser import rmsprop as rmsprop
from experiments.runner.record import read_record as read_record
from experiments.runner.record import start_record as start_record
from experiments.runner.record import write_record as write_record

__all__ = [
    "FAMILIES",
    "parse",
    "read_record",
    "resolve_device",
    "rmsprop",
    "run_grid",
    "start_record",
    "write_record",
]
