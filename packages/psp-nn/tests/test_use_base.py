"""The base of a superposition as a model: `use_context(net, None)`."""

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import Norms, report, retrieve, superpose, use_context


def plain():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 5), nn.LayerNorm(5)
    )


def trained(net, **options):
    options = {"num_contexts": 3, "seed": 0, "base": True, "bias_per_context": True, **options}
    many = superpose(net, family=BinaryContexts, **options)
    optimiser = torch.optim.SGD(many.parameters(), lr=0.1)
    for k in range(3):
        use_context(many, k)
        many(torch.randn(6, 3, 4, 4)).square().sum().backward()
        optimiser.step()
    return many


@pytest.mark.parametrize("two_sided", [True, False])
def test_the_base_stays_the_network_that_was_superposed(two_sided):
    net, x = plain().eval(), torch.randn(2, 3, 4, 4)
    many = trained(net, two_sided=two_sided).eval()
    assert not torch.allclose(many(x), net(x))
    with use_context(many, None):
        assert torch.equal(many(x), net(x))
        assert str(report(many)).endswith("the base in use.")
    for name, value in retrieve(many, None).state_dict().items():
        assert torch.equal(value, net.state_dict()[name])


def test_embeddings_attention_and_recurrent_layers_read_their_base():
    for net, x in (
        (nn.Embedding(5, 4, max_norm=0.5), torch.arange(5)),
        (nn.LSTM(4, 6, batch_first=True), torch.randn(2, 3, 4)),
        (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), torch.randn(2, 3, 4)),
    ):
        many = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=True).eval()
        with torch.no_grad():
            for value in many.parameters():
                if value.dim() > 1:
                    value.add_(torch.randn_like(value))
        before = {name: value.clone() for name, value in many.named_buffers()}
        with use_context(many, None), torch.no_grad():
            result, expected = many(x), net.eval()(x)
        torch.testing.assert_close(result, expected)
        for name, value in many.named_buffers():
            assert torch.equal(value, before[name])


def test_the_statistics_of_the_base_are_not_updated():
    many = trained(plain()).train()
    with use_context(many, None), pytest.raises(RuntimeError, match="call eval"):
        many(torch.randn(2, 3, 4, 4))
    shared = trained(plain(), norms=Norms.SHARED).train()
    with use_context(shared, None):
        shared(torch.randn(2, 3, 4, 4))


def test_without_a_base_there_is_none_to_use():
    net = superpose(plain(), family=BinaryContexts, num_contexts=3, seed=0, base=False)
    for function in (use_context, retrieve):
        with pytest.raises(ValueError, match=r"context=None is the base, but layer '0' has none"):
            function(net, None)
    assert net[0].superposition.selection.index == 0
