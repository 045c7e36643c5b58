import torch

from experiments.runner import rmsprop


def test_the_fused_pass_is_rmsprop():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(50, generator=generator)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    fused = rmsprop([ours], lr=1e-2)
    plain = torch.optim.RMSprop([theirs], lr=1e-2)
    for step in range(300):
        ours.grad = torch.randn(50, generator=generator) * (1 + step % 7)
        theirs.grad = ours.grad.clone()
        fused.step()
        plain.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_complex_weights_get_the_plain_one():
    weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.cfloat))
    optimiser = rmsprop([weight], lr=0.1)
    weight.grad = torch.tensor([3 - 4j, 1j])
    optimiser.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([-1 + 1j, -1j]), rtol=0, atol=1e-4)
