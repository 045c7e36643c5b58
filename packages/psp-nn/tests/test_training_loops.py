"""Situations of training loops that public bug reports describe."""

import io
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from psp_contexts import BinaryContexts, ComplexContexts, LocalMixContexts, OnePowerContexts
from psp_nn import (
    ElasticWeightConsolidation,
    InferBy,
    Norms,
    SynapticIntelligence,
    infer_context,
    load,
    parameter_groups,
    retrieve,
    save,
    superpose,
    superpose_models,
    use_context,
)

OPTIONS = {"family": BinaryContexts, "num_contexts": 5, "seed": 0, "base": False}


@pytest.mark.parametrize("family", [ComplexContexts, OnePowerContexts, LocalMixContexts])
def test_complex_networks_run_on_the_meta_device(family):
    net = nn.Sequential(
        nn.Linear(4, 4), nn.Linear(4, 2), nn.Unflatten(1, (2, 1)), nn.Conv1d(2, 3, 1)
    )
    net = superpose(net, **{**OPTIONS, "family": family}).to("meta")
    assert net(torch.empty(3, 4, device="meta")).shape == (3, 3, 1)


@pytest.mark.parametrize("layer", [nn.Conv1d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.Conv3d(3, 8, 3)])
@pytest.mark.parametrize("family", [BinaryContexts, ComplexContexts])
def test_a_convolution_takes_another_memory_format(layer, family):
    net, x = (
        superpose(layer, **{**OPTIONS, "family": family}),
        torch.randn(2, 3, *[5] * (layer.weight.dim() - 2)),
    )
    before = net(x)
    if layer.weight.dim() < 5:
        net.to(memory_format=torch.channels_last)
    else:
        net.to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(net(x), before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("superposed", [True, False])
@pytest.mark.parametrize("tail", [nn.Identity(), nn.Conv1d(3, 3, 1)])
def test_information_is_computed_in_a_test_loop(mode, superposed, tail):
    shape = nn.Unflatten(1, (3, 1)) if isinstance(tail, nn.Conv1d) else nn.Identity()
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), shape, tail, nn.Flatten())
    net = superpose(net, **OPTIONS) if superposed else net
    ewc, expected = (ElasticWeightConsolidation(net, strength=1.0) for _ in range(2))
    x = torch.randn(6, 4)
    with mode():
        ewc.consolidate([x.clone()])
    expected.consolidate([x])
    with torch.no_grad():
        next(net.parameters()).add_(1)
    ewc.penalty().backward()
    torch.testing.assert_close(ewc.penalty(), expected.penalty())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("by", InferBy)
def test_a_context_is_inferred_in_a_test_loop(mode, by):
    net = superpose(nn.Linear(12, 3), **OPTIONS)
    x = torch.randn(4, 12)
    with mode():
        evidence = infer_context(net, x.clone(), by=by).evidence
    torch.testing.assert_close(evidence, infer_context(net, x, by=by).evidence)


@pytest.mark.parametrize("by", InferBy)
@pytest.mark.parametrize("per_sample", [True, False])
def test_inputs_that_are_not_finite_have_no_context(by, per_sample):
    net, x = superpose(nn.Linear(12, 3), **OPTIONS), torch.randn(4, 12)
    x[1, 2] = torch.nan
    with pytest.raises(ValueError, match="the evidence is not finite"):
        infer_context(net, x, by=by, per_sample=per_sample)


def with_head(classes):
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, classes))
    return net


@pytest.mark.parametrize("kind", ["ewc", "si"])
def test_rows_that_a_head_gains_are_free_and_the_old_ones_are_kept(kind):
    torch.manual_seed(0)
    net = with_head(2)
    penalty = consolidated(kind, net)
    head = nn.Linear(8, 4)
    with torch.no_grad():
        head.weight[:2], head.bias[:2] = net[2].weight, net[2].bias
    net[2] = head
    assert penalty.penalty() == 0
    with torch.no_grad():
        head.weight[2:] += 1
    assert penalty.penalty() == 0
    with torch.no_grad():
        head.weight[:2] += 1
    assert penalty.penalty() > 0
    consolidate(kind, penalty)
    assert torch.isfinite(penalty.penalty())


@pytest.mark.parametrize("kind", ["ewc", "si"])
@pytest.mark.parametrize("head", [nn.Linear(8, 1), nn.Linear(7, 2)])
def test_a_head_that_changes_otherwise_is_refused_by_name(kind, head):
    net = with_head(2)
    penalty = consolidated(kind, net)
    net[2] = head
    with pytest.raises(ValueError, match=r"'2.weight' had shape \(2, 8\) in an earlier task"):
        penalty.penalty()


@pytest.mark.parametrize("kind", ["ewc", "si"])
def test_a_parameter_that_is_renamed_is_refused_by_name(kind):
    net = with_head(2)
    penalty = consolidated(kind, net)
    net._modules["head"] = net._modules.pop("2")
    with pytest.raises(ValueError, match=r"no longer has the parameter '2.weight' of an earlier"):
        penalty.penalty()


def consolidated(kind, net):
    make = ElasticWeightConsolidation if kind == "ewc" else SynapticIntelligence
    penalty = make(net, strength=1.0)
    if kind == "si":
        net(torch.randn(3, 4)).square().sum().backward()
        with penalty.step(), torch.no_grad():
            for value in net.parameters():
                value -= 0.01 * value.grad
    consolidate(kind, penalty)
    return penalty


def consolidate(kind, penalty):
    penalty.consolidate(*([[torch.randn(8, 4)]] if kind == "ewc" else []))


def test_one_sample_of_a_context_in_a_training_batch_is_refused_by_layer_and_context():
    net = superpose(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)), **OPTIONS)
    x, index = torch.randn(8, 4), torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    with use_context(net, index):
        with pytest.raises(ValueError, match=r"layer '1' .* only one of context 2; "):
            net(x)
        net.eval()(x)
    with use_context(net.train(), index.clamp(max=1)):
        net(x)
    spatial = superpose(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), **OPTIONS)
    with use_context(spatial, torch.tensor([0, 1])):
        spatial(torch.randn(2, 1, 3, 3))


@pytest.mark.parametrize("classes", [10, 3])
def test_heads_that_differ_are_refused_with_a_way_out(classes):
    base, model = with_head(10), with_head(classes)
    with pytest.raises(ValueError, match=r"'2.weight' .* superpose with own="):
        superpose_models([base, model], base=base, family=BinaryContexts, seed=0, exclude="2")


@pytest.mark.parametrize("norms", Norms)
@pytest.mark.parametrize("family", [BinaryContexts, ComplexContexts])
def test_a_superposition_is_pickled_into_another_process(norms, family, tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.GroupNorm(2, 4))
    options = {**OPTIONS, "family": family, "norms": norms}
    net, x = superpose(net, **options).eval(), torch.randn(2, 3, 5, 5)
    use_context(net, 3)
    buffer = io.BytesIO()
    torch.save(net, buffer)
    buffer.seek(0)
    back = torch.load(buffer, weights_only=False)
    assert [type(m) for m in back] == [type(m) for m in net]
    torch.testing.assert_close(back(x), net(x))


def test_another_process_reads_a_pickled_superposition(tmp_path):
    net = superpose(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), **OPTIONS)
    torch.save(net, tmp_path / "net.pt")
    code = f"import torch; print(torch.load({str(tmp_path / 'net.pt')!r}, weights_only=False)[1])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.startswith("SuperposedBatchNorm2d"), run.stderr


def test_models_that_are_not_trained_do_not_decay():
    net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    net = superpose(net, **OPTIONS, bias_per_context=True)
    groups = parameter_groups(net, weight_decay=0.1)
    assert [len(group["params"]) for group in groups] == [2, 4]
    optimiser = torch.optim.AdamW(groups, lr=1e-2)
    use_context(net, 1)
    before = net[1].stored()[4].clone()
    for _ in range(20):
        optimiser.zero_grad()
        net(torch.randn(8, 4)).square().sum().backward()
        optimiser.step()
    assert torch.equal(net[1].stored()[4], before)
    assert not torch.equal(net[1].stored()[1], before)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: torch.tensor(sum(value.numpy() / 3 for _ in range(3))),
        torch.Tensor.half,
        torch.Tensor.bfloat16,
    ],
)
def test_an_averaged_or_cast_state_dict_loads_again(change):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    net = superpose(net, **OPTIONS)
    state = {name: change(value) for name, value in net.state_dict().items()}
    other = superpose(retrieve(net, 0), **OPTIONS)
    other.load_state_dict(state)
    torch.testing.assert_close(other[3].stored(), net[3].stored(), rtol=1e-2, atol=1e-2)


def test_hooks_of_accelerate_are_refused_by_name():
    net = superpose(nn.Linear(4, 2), **OPTIONS)
    with pytest.raises(RuntimeError, match="accelerate's hooks would move one of its models"):
        net._old_forward = net.forward  # as add_hook_to_module


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, AveragedModel])
def test_files_look_through_wrappers(wrap, tmp_path):
    nets = [superpose(with_head(2), **OPTIONS) for _ in range(2)]
    save(wrap(nets[0]), tmp_path / "net.safetensors")
    load(tmp_path / "net.safetensors", into=wrap(nets[1]) if wrap is torch.compile else nets[1])
    x = torch.randn(3, 4)
    assert torch.equal(nets[0](x), nets[1](x))


def test_superposed_models_load_into_a_network_over_a_base(tmp_path):
    base, path = with_head(2), tmp_path / "net.safetensors"
    together = superpose_models([base, with_head(2)], base=base, family=BinaryContexts, seed=0).net
    save(together, path)
    options = {"family": BinaryContexts, "num_contexts": 2, "seed": 0, "bias_per_context": True}
    with pytest.raises(ValueError, match="superpose the network with base=True"):
        load(path, into=superpose(with_head(2), **options, base=False))
    into, x = superpose(with_head(2), **options, base=True), torch.randn(3, 4)
    load(path, into=into)
    with use_context(into, 1), use_context(together, 1):
        assert torch.equal(into(x), together(x))


class Pretrained(nn.Linear):
    def save_pretrained(self, folder):
        return f"saved in {folder}"


def test_save_pretrained_of_a_superposition_is_refused_and_works_for_a_model():
    net = superpose(nn.Sequential(Pretrained(4, 2)), **OPTIONS)
    with pytest.raises(RuntimeError, match=r"sum of all models.* use psp_nn.save, or retrieve"):
        net[0].save_pretrained("here")
    assert retrieve(net, 1)[0].save_pretrained("here") == "saved in here"


@pytest.mark.parametrize("base", [True, False])
def test_a_part_of_a_saved_network_is_loaded_by_its_prefix(base, tmp_path):
    options, x = {**OPTIONS, "base": base}, torch.randn(3, 4)
    whole = superpose(
        nn.ModuleDict({"encoder": with_head(2), "decoder": nn.Linear(2, 4)}), **options
    )
    whole.requires_grad_(False)
    whole["encoder"][0].stored().add_(1)
    if base:  # in the whole network the last layer of the part is not the output layer
        options["two_sided"] = "*"
    part = superpose(with_head(2), **options, prefix="encoder")
    with pytest.raises(ValueError, match="saved with other contexts"):
        superpose(with_head(2), **options).load_state_dict(state_of(whole))
    part.load_state_dict(state_of(whole))
    use_context(whole, 3)
    use_context(part, 3)
    assert torch.equal(part(x), whole["encoder"](x))


def state_of(whole):
    state = whole.state_dict().items()
    return {k.removeprefix("encoder."): v for k, v in state if k.startswith("encoder.")}
