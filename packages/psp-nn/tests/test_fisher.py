import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import Norms, fisher_diagonal, superpose


class Tied(nn.Module):
    """Uses the weight of a layer a second time, without calling the layer."""

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
    """Calls a layer with several rows per sample."""

    def forward(self, x):
        return self.head(self.layer(torch.stack([x, x.cos()], 1)).tanh().mean(1))


class Recurrent(nn.Module):
    """Uses kernels without a vmap rule."""

    def __init__(self, kind):
        super().__init__()
        self.read = kind(1, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.read(x.unsqueeze(-1))[0][:, -1])


class SharedBias(nn.Module):
    """Two layers share a bias, and take their input as a keyword argument."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.b.bias = self.a.bias

    def forward(self, x):
        return self.head(self.b(input=torch.tanh(self.a(input=x))))


class OneOfTwo(SharedBias):
    """Uses only the second of two tied layers."""

    def __init__(self):
        super().__init__()
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.head(self.b(x))


def by_hand(net, x):
    """One backward pass for each sample and label."""
    parameters = {n: p for n, p in net.named_parameters() if p.requires_grad}
    sums = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for sample in x.split(1):
        for log_probability in net(sample).log_softmax(-1)[0]:
            gradients = torch.autograd.grad(log_probability, parameters.values(), retain_graph=True)
            for name, gradient in zip(parameters, gradients, strict=True):
                sums[name] += log_probability.detach().exp() * gradient.square() / len(x)
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
    net = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Dropout())
    net[1].eval()
    fisher_diagonal(net, [torch.randn(4, 5)])
    assert [module.training for module in net.modules()] == [True, True, False, True]
    assert not net[0]._forward_hooks
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        (torch.ones(2, 3), TypeError, "batches is a single tensor; pass a list of batches"),
        ([torch.ones(2, 5, 3)], ValueError, r"must have shape \(2, classes\), but is \(2, 5, 4\)"),
        ([], ValueError, "got no inputs"),
        ([torch.ones(0, 3)], ValueError, "got no inputs"),
    ],
)
def test_anything_but_batches_of_inputs_is_refused(batches, error, message):
    with pytest.raises(error, match=message):
        fisher_diagonal(nn.Linear(3, 4), batches)


@pytest.mark.parametrize("superposed", [False, True])
def test_a_batchnorm_without_running_statistics_is_refused(superposed):
    net = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3, track_running_stats=False))
    if superposed:
        net = superpose(
            net, family=BinaryContexts, num_contexts=3, seed=0, base=False, norms=Norms.BATCH
        )
    with pytest.raises(ValueError, match="layer '1' of net is a BatchNorm without running stat"):
        fisher_diagonal(net, [torch.ones(2, 5)])
