import pytest
import torch
from torch import nn

from psp_nn import fisher_diagonal


class Tied(nn.Module):
    """Uses one layer's weight a second time, behind its back."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.layer(x)) @ self.layer.weight)


class Twice(Tied):
    def forward(self, x):
        return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class Rows(Tied):
    """Its layer works on several rows of every sample."""

    def forward(self, x):
        return self.head(self.layer(torch.stack([x, x.cos()], 1)).tanh().mean(1))


class Recurrent(nn.Module):
    """Has kernels that torch cannot map over samples."""

    def __init__(self, kind):
        super().__init__()
        self.read = kind(1, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.read(x.unsqueeze(-1))[0][:, -1])


class SharedBias(nn.Module):
    """Two of its layers add one bias, and are given their input by name."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.b.bias = self.a.bias

    def forward(self, x):
        return self.head(self.b(input=torch.tanh(self.a(input=x))))


class OneOfTwo(SharedBias):
    """Uses only the second of two layers that are tied."""

    def __init__(self):
        super().__init__()
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.head(self.b(x))


def by_hand(net, x):
    """Of every sample and label one backward pass."""
    sums = {name: torch.zeros_like(p) for name, p in net.named_parameters() if p.requires_grad}
    for row in x.split(1):
        logs = net(row).log_softmax(-1)[0]
        for each in logs:
            wanted = {n: p for n, p in net.named_parameters() if p.requires_grad}
            gradients = torch.autograd.grad(each, wanted.values(), retain_graph=True)
            for name, gradient in zip(wanted, gradients, strict=True):
                sums[name] += each.detach().exp() * gradient.square() / len(x)
    return sums


NETS = {
    "linear": lambda: nn.Linear(5, 3),
    "mlp": lambda: nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3, bias=False)),
    "norm": lambda: nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(6, 3)
    ),
    "tied": Tied,
    "twice": Twice,
    "rows": Rows,
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "shared bias": SharedBias,
    "one of two": OneOfTwo,
}


@pytest.mark.parametrize("name", NETS)
def test_it_is_the_mean_square_of_every_sample_s_gradients(name):
    torch.manual_seed(0)
    net = NETS[name]().double()
    x = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(fisher_diagonal(net, [x[:4], x[4:]], chunk=3), by_hand(net, x))


def test_frozen_parameters_are_left_out():
    net = NETS["mlp"]().double()
    net[0].weight.requires_grad_(False)
    x = torch.randn(6, 5, dtype=torch.float64)
    fisher = fisher_diagonal(net, [x])
    assert fisher.keys() == {"0.bias", "2.weight"}
    torch.testing.assert_close(fisher, by_hand(net, x))


def test_the_net_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(5, 3), nn.Dropout()).train()
    fisher_diagonal(net, [torch.randn(4, 5)])
    assert net.training
    assert net[1].training
    assert not net[0]._forward_hooks
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        (torch.ones(2, 3), TypeError, r"batches must be several tensors.* pass a list"),
        ([(torch.ones(2, 3), torch.ones(2))], TypeError, "one is a tuple; pass the inputs alone"),
        ([torch.ones(2, 5, 3)], ValueError, r"must have shape \(2, classes\), but is \(2, 5, 4\)"),
    ],
)
def test_what_is_no_batch_of_inputs_is_refused(batches, error, message):
    with pytest.raises(error, match=message):
        fisher_diagonal(nn.Linear(3, 4), batches)


def test_each_module_trains_afterwards_as_before():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout())
    net[1].eval()
    fisher_diagonal(net, [torch.ones(2, 3)])
    assert [module.training for module in net.modules()] == [True, True, False, True]
