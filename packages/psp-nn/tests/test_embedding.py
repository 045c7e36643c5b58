import torch
from torch import nn

from psp_nn import superpose, use_context


def test_a_vector_is_that_of_the_retrieved_table(family):
    plain = nn.Embedding(7, 4, padding_idx=2).double()
    layer = superpose(plain, contexts=family, num_contexts=3, seed=0)
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
    layer = superpose(nn.Embedding(7, 4).double(), contexts=family, num_contexts=3, seed=0)
    for words in (torch.tensor([[0, 2], [5, 5]]), torch.tensor([3, 4])):
        with use_context(layer, torch.tensor([2, 1])):
            mixed = layer(words)
        for sample, k, y in zip(words, (2, 1), mixed, strict=True):
            with use_context(layer, k):
                torch.testing.assert_close(layer(sample), y)
