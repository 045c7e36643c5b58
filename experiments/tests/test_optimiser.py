import pytest
import torch

from experiments.runner import rmsprop


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_the_fused_pass_is_rmsprop(dtype):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(50, generator=generator, dtype=dtype)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    fused = rmsprop([ours], lr=1e-2)
    plain = torch.optim.RMSprop([theirs], lr=1e-2)
    for step in range(300):
        ours.grad = torch.randn(50, generator=generator, dtype=dtype) * (1 + step % 7)
        theirs.grad = ours.grad.clone()
        fused.step()
        plain.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_complex_and_real_weights_go_on_from_a_state_together():
    def make():
        weights = [torch.nn.Parameter(torch.ones(3, dtype=dtype)) for dtype in DTYPES]
        return weights, rmsprop(weights, lr=0.1)

    def learn(weights, optimiser, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            assert all(weight.grad is None for weight in weights)
            sum(
                (weight * (2 + step)).abs().square().sum() for step, weight in enumerate(weights)
            ).backward()
            optimiser.step()

    whole, optimiser = make()
    learn(whole, optimiser, 6)
    half, optimiser = make()
    learn(half, optimiser, 3)
    resumed, other = make()
    for weight, saved in zip(resumed, half, strict=True):
        weight.data.copy_(saved.data)
    other.load_state_dict(optimiser.state_dict())
    learn(resumed, other, 3)
    for one, other_one in zip(whole, resumed, strict=True):
        assert torch.equal(one, other_one)


DTYPES = (torch.float32, torch.complex64)
