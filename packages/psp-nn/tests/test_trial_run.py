import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from psp_contexts import BinaryContexts, RotationContexts
from psp_nn import retrieve, superpose, use_context


class Swaps(nn.Module):
    """Two layers, with samples and positions swapped before the second if `swap`."""

    def __init__(self, swap):
        super().__init__()
        self.first, self.second, self.swap = nn.Linear(6, 6), nn.Linear(6, 6), swap

    def forward(self, x, scale=1.0):
        x = self.first(x)
        x = x.transpose(0, 1) if self.swap else x
        x = self.second(x * scale)
        return x.transpose(0, 1) if self.swap else x


def built(net, family=BinaryContexts):
    return superpose(net, family=family, num_contexts=9, seed=0, base=False)


@pytest.mark.parametrize("family", [BinaryContexts, RotationContexts])
@pytest.mark.parametrize("batch_dim", [0, 1])
def test_as_many_samples_as_positions_are_refused_if_the_network_swaps_them(batch_dim, family):
    net = built(Swaps(swap=True), family)
    with (
        use_context(net, torch.arange(5), batch_dim=batch_dim),
        pytest.raises(ValueError, match=r"tried with one sample more: layer '(first|second)' got"),
    ):
        net(torch.randn(5, 5, 6))


@pytest.mark.parametrize("batch_dim", [0, 1])
def test_as_many_samples_as_positions_are_served_if_the_network_keeps_them(batch_dim):
    net = built(Swaps(swap=False))
    x = torch.randn(5, 5, 6)
    for _ in range(2):
        with use_context(net, torch.arange(5), batch_dim=batch_dim):
            mixed = net(x, scale=2.0)
            torch.testing.assert_close(net(x, scale=2.0), mixed)
    for k in range(5):
        use_context(net, k)
        expected = net(x.select(batch_dim, k), scale=2.0)
        torch.testing.assert_close(mixed.select(batch_dim, k), expected)


def test_samples_that_the_network_moves_to_the_stated_dimension_are_served():
    class PositionsFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            return self.layer(x.transpose(0, 1)).transpose(0, 1)

    net = built(PositionsFirst())
    x = torch.randn(5, 5, 6)
    with use_context(net, torch.arange(5), batch_dim=1):
        mixed = net(x)
    use_context(net, 3)
    torch.testing.assert_close(mixed[3], net(x[3:4])[0])


def test_equal_lengths_inside_the_network_are_detected():
    class Patches(nn.Module):
        def __init__(self, swap):
            super().__init__()
            self.cut, self.inner = nn.Conv2d(3, 6, 4, stride=4), Swaps(swap)

        def forward(self, x):
            return self.inner(self.cut(x).flatten(2).transpose(1, 2))

    images = torch.randn(4, 3, 8, 8)  # four patches each
    for swap in (False, True):
        net = built(Patches(swap))
        use_context(net, torch.arange(4))
        if swap:
            with pytest.raises(ValueError, match=r"tried with one sample more: layer '.*second'"):
                net(images)
        else:
            net(images)


def test_as_many_tokens_as_samples_are_detected():
    class Words(nn.Module):
        def __init__(self, swap):
            super().__init__()
            self.embedding, self.inner = nn.Embedding(7, 6), Swaps(swap)

        def forward(self, x):
            return self.inner(self.embedding(x))

    tokens = torch.randint(7, (5, 5))
    net = built(Words(swap=True))
    with (
        use_context(net, torch.arange(5)),
        pytest.raises(ValueError, match=r"layer 'inner\.second' got"),
    ):
        net(tokens)
    net = built(Words(swap=False))
    with use_context(net, torch.arange(5)):
        mixed = net(tokens)
    use_context(net, 2)
    torch.testing.assert_close(mixed[2], net(tokens[2]))


def test_the_hooks_exist_only_while_the_batch_mixes_contexts():
    net = built(Swaps(swap=False))
    with use_context(net, torch.arange(5)):
        assert len(net._forward_hooks) == 1
        with use_context(net, 3):
            assert not net._forward_hooks
        assert len(net._forward_hooks) == 1
        twin = copy.deepcopy(net)
        assert not retrieve(net, 2)._forward_hooks
    assert not net._forward_hooks
    assert twin(torch.randn(5, 5, 6)).shape == (5, 5, 6)


@pytest.mark.parametrize("swap", [False, True])
def test_a_network_that_reads_values_is_tried_with_data(swap):
    class Looks(Swaps):
        def forward(self, x):
            return super().forward(x, scale=x.abs().max().item())

    net = built(Looks(swap))
    x = torch.randn(5, 5, 6)
    use_context(net, torch.arange(5))
    if swap:
        with pytest.raises(ValueError, match="tried with one sample more: layer 'second' got"):
            net(x)
    else:
        assert net(x).shape == (5, 5, 6)


@pytest.mark.parametrize("swap", [False, True])
def test_a_mask_of_positions_does_not_grow_with_the_batch(swap):
    class Masked(Swaps):
        def forward(self, x, mask):
            return super().forward(x + mask @ x)

    net = built(Masked(swap))
    x, mask = torch.randn(5, 5, 6), torch.randn(5, 5)
    with use_context(net, torch.arange(5)):
        if swap:
            with pytest.raises(ValueError, match="layer 'second' got"):
                net(x, mask)
            return
        mixed = net(x, mask)
    use_context(net, 2)
    torch.testing.assert_close(mixed[2], net(x[2], mask))


def test_a_network_that_cannot_be_tried_is_refused():
    class Fixed(Swaps):
        def forward(self, x):
            return super().forward(x.view(5, 5, 6))

    net = built(Fixed(swap=False))
    use_context(net, torch.arange(5))
    with pytest.raises(ValueError, match=r"layer 'first' .* would have to be tried"):
        net(torch.randn(5, 5, 6))


class FromDict(Swaps):
    def forward(self, batch, swap):
        self.swap = swap
        return super().forward(batch["x"])


def test_inputs_in_a_dictionary_and_flags_are_distinguished():
    net = built(FromDict(swap=False))
    use_context(net, torch.arange(5))
    batch = {"x": torch.randn(5, 5, 6)}
    assert net(batch, swap=False).shape == (5, 5, 6)
    with pytest.raises(ValueError, match="layer 'second' got"):
        net(batch, swap=True)


def test_a_part_called_directly_is_refused_where_lengths_prove_nothing():
    net = built(nn.Sequential(Swaps(swap=True)))
    x = torch.randn(5, 5, 6)
    use_context(net, torch.arange(5))
    with pytest.raises(ValueError, match=r"'0\.first' .* give use_context the module"):
        net[0](x)
    with pytest.raises(ValueError, match="tried with one sample more"):
        net(x)  # the failed call has changed nothing
    with pytest.raises(ValueError, match=r"'0\.first' .* give use_context the module"):
        net[0](x)


def test_compiled_code_is_refused_where_lengths_prove_nothing():
    torch.compiler.reset()
    net = built(nn.Linear(6, 6))
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    use_context(net, torch.arange(5))
    assert compiled(torch.randn(5, 4, 6)).shape == (5, 4, 6)
    with pytest.raises(Exception, match="run this batch without the compiler"):
        compiled(torch.randn(5, 5, 6))
    torch.compiler.reset()


def test_a_part_with_its_own_selection_is_checked_and_later_the_whole_again():
    net = built(nn.Sequential(Swaps(swap=True)))
    x = torch.randn(5, 5, 6)
    use_context(net, torch.arange(5))
    with (
        use_context(net[0], torch.arange(5)),
        pytest.raises(ValueError, match="tried with one sample more"),
    ):
        net[0](x)
    assert not net[0]._forward_hooks
    assert len(net._forward_hooks) == 1
    use_context(net[0], torch.arange(5))
    model = retrieve(net, 2)
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_checkpointed_block_is_recomputed_without_another_trial():
    class Blocks(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Swaps(swap=False)

        def forward(self, x):
            return checkpoint(self.block, x, use_reentrant=False)

    net = built(Blocks())
    with use_context(net, torch.arange(5)):
        net(torch.randn(5, 5, 6, requires_grad=True)).sum().backward()
    assert net.block.first.stored().grad is not None


def test_samples_that_the_network_moves_from_the_stated_dimension_are_refused():
    class PositionsFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            return self.layer(x.transpose(0, 1)).transpose(0, 1)

    net = built(PositionsFirst())
    use_context(net, torch.arange(5))
    with pytest.raises(ValueError, match="tried with one sample more: layer 'layer' got"):
        net(torch.randn(5, 5, 6))
