"""The loop, grids, records, checkpoints and stopping; import from the modules.

The names below are for the studies that are not yet moved to `experiments.studies`.
"""

from experiments.runner.checkpoint import Checkpoint
from experiments.runner.command_line import exit_on_user_error as reported
from experiments.runner.command_line import parse
from experiments.runner.device import resolve_device
from experiments.runner.families import FAMILIES
from experiments.runner.grid import run_grid
from experiments.runner.images import evenly_spaced as evenly
from experiments.runner.images import load_images
from experiments.runner.learner import Learner
from experiments.runner.networks import build_mlp, build_resnet18
from experiments.runner.optimiser import rmsprop
from experiments.runner.progress import Progress, read_progress
from experiments.runner.recipe import Recipe, runs_of
from experiments.runner.record import complete_record, read_record, start_record, write_record
from experiments.runner.runs import name_of_run, run_all, train_to_record
from experiments.runner.settings import GridSettings, RunSettings, Settings
from experiments.runner.stopping import stop_if_requested as stop_if_asked
from experiments.runner.trainer import train

__all__ = [
    "FAMILIES",
    "Checkpoint",
    "GridSettings",
    "Learner",
    "Progress",
    "Recipe",
    "RunSettings",
    "Settings",
    "build_mlp",
    "build_resnet18",
    "complete_record",
    "evenly",
    "load_images",
    "name_of_run",
    "parse",
    "read_progress",
    "read_record",
    "reported",
    "resolve_device",
    "rmsprop",
    "run_all",
    "run_grid",
    "runs_of",
    "start_record",
    "stop_if_asked",
    "train",
    "train_to_record",
    "write_record",
]
