import pytest
import torch

from experiments.runner.optimiser import rmsprop


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_a_step_leaves_the_gradient_and_weights_without_one_as_they_were(dtype):
    used, unused = (torch.nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(2))
    optimiser = rmsprop([used, unused], lr=0.1)
    optimiser.step()  # no weight has a gradient yet
    used.grad = torch.tensor([1.0, -2.0, 0.0], dtype=dtype)
    before = used.grad.clone()
    optimiser.step()
    assert torch.equal(used.grad, before)  # though the first moment shares its memory
    torch.testing.assert_close(used.detach().real, torch.tensor([0.0, 2.0, 1.0]))
    assert torch.equal(unused, torch.ones(3, dtype=dtype))
    optimiser.zero_grad(set_to_none=False)
    assert torch.equal(used.grad, torch.zeros(3, dtype=dtype))


def test_a_closure_is_called_and_its_loss_returned():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimiser = rmsprop([weight], lr=0.1)

    def closure():
        optimiser.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimiser.step(closure).item() == 4
    torch.testing.assert_close(weight.detach(), torch.tensor([1.0]))


def test_complex_and_real_weights_resume_from_one_state():
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
