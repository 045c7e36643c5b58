import socket
from functools import partial

import pytest
import torch
from torch import nn

import psp_contexts
from psp_contexts import BinaryContexts, ComplexContexts, Contexts, LocalMixContexts

FIXED = tuple(
    family
    for family in map(psp_contexts.__dict__.get, psp_contexts.__all__)
    if isinstance(family, type)
    and issubclass(family, Contexts)
    and not getattr(family, "__abstractmethods__", None)
)
LEARNED = tuple(
    partial(f, learned=True) for f in (BinaryContexts, ComplexContexts, LocalMixContexts)
)
FAMILIES = FIXED + LEARNED


def family_name(family):
    return family.__name__ if isinstance(family, type) else f"learned {family.func.__name__}"


@pytest.fixture(params=FAMILIES, ids=family_name)
def family(request):
    return request.param


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
    ).double()


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
