"""What every experiment shares: its command line, its grid of runs, its loop, its record."""

from experiments.runner.backend import check_backend as check_backend
from experiments.runner.checkpoint import Checkpoint as Checkpoint
from experiments.runner.command_line import parse as parse
from experiments.runner.command_line import reported as reported
from experiments.runner.device import resolve_device as resolve_device
from experiments.runner.families import FAMILIES as FAMILIES
from experiments.runner.grid import run_grid as run_grid
from experiments.runner.images import load_images as load_images
from experiments.runner.learner import Learner as Learner
from experiments.runner.networks import build_mlp as build_mlp
from experiments.runner.networks import build_resnet18 as build_resnet18
from experiments.runner.optimiser import rmsprop as rmsprop
from experiments.runner.progress import Progress as Progress
from experiments.runner.progress import read_progress as read_progress
from experiments.runner.recipe import Recipe as Recipe
from experiments.runner.recipe import runs_of as runs_of
from experiments.runner.record import complete_record as complete_record
from experiments.runner.record import read_record as read_record
from experiments.runner.record import start_record as start_record
from experiments.runner.record import write_record as write_record
from experiments.runner.runs import name_of_run as name_of_run
from experiments.runner.runs import run_all as run_all
from experiments.runner.runs import train_to_record as train_to_record
from experiments.runner.settings import GridSettings as GridSettings
from experiments.runner.settings import RunSettings as RunSettings
from experiments.runner.settings import Settings as Settings
from experiments.runner.stopping import stop_if_asked as stop_if_asked
from experiments.runner.subset import evenly as evenly
from experiments.runner.trainer import train as train

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
    "check_backend",
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
