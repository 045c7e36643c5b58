import copy

import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import retrieve, superpose, superpose_models, use_context


def test_a_vector_is_a_row_of_the_retrieved_table(family):
    plain = nn.Embedding(7, 4, padding_idx=2).double()
    layer = superpose(plain, family=family, num_contexts=3, seed=0, base=False)
    layer._forward_hooks.clear()  # keep the imaginary part
    words = torch.tensor([[0, 2, 6], [5, 5, 1]])
    matrix = layer.contexts.matrix(1).detach()
    expected = layer.state_dict()["weight"].to(matrix.dtype) @ matrix
    use_context(layer, 1)
    torch.testing.assert_close(layer(words), expected[words])
    torch.testing.assert_close(layer(words[0, 0]), expected[0])
    torch.testing.assert_close(layer.weight, expected)
    assert layer(words)[0, 1].abs().sum() == 0


def test_a_mixed_batch_equals_one_call_for_each_sample(family):
    layer = superpose(
        nn.Embedding(7, 4).double(), family=family, num_contexts=3, seed=0, base=False
    )
    for words in (torch.tensor([[0, 2], [5, 5]]), torch.tensor([3, 4])):
        with use_context(layer, torch.tensor([2, 1])):
            mixed = layer(words)
        for sample, k, y in zip(words, (2, 1), mixed, strict=True):
            with use_context(layer, k):
                torch.testing.assert_close(layer(sample), y)


def test_max_norm_limits_vectors_as_they_are_read():
    base = nn.Embedding(20, 4, max_norm=1.0).double()
    models = [copy.deepcopy(base) for _ in range(3)]
    for model in models:
        model.weight.data.add_(0.1 * torch.randn(20, 4))
    net = superpose_models(models, family=BinaryContexts, seed=0, base=base).net
    with use_context(net, 1):
        vectors = net(torch.arange(20))
        assert (vectors.norm(dim=-1) <= 1 + 1e-6).all()
        torch.testing.assert_close(vectors, retrieve(net, 1)(torch.arange(20)))
