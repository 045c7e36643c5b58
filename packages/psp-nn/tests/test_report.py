import pytest
import torch
import torchvision
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts
from psp_nn import Norms, report, superpose, use_context


def num_parameters(net):
    return sum(value.numel() for value in net.state_dict().values())


def test_every_layer_with_parameters_is_reported():
    plain = nn.Sequential(
        nn.Linear(4, 3), nn.BatchNorm1d(3), nn.PReLU(), nn.Bilinear(3, 3, 2), nn.Linear(3, 2)
    )
    with pytest.warns(UserWarning, match="42% of the parameters stay shared"):
        net = superpose(
            plain, family=BinaryContexts, num_contexts=5, seed=0, base=False, exclude="4"
        )
    net_report = report(net)
    reasons = {layer.name: layer.reason for layer in net_report.layers}
    assert reasons == {
        "0": "BinaryContexts of dim 4; bias shared",
        "1": "weight, bias, running_mean, running_var, num_batches_tracked per context",
        "2": "shared: this class has no superposed form",
        "3": "shared: this class has no superposed form",
        "4": "shared: left out by include or exclude",
    }
    assert net_report.parameters_before == num_parameters(plain)
    assert net_report.parameters_after == num_parameters(plain) + 4 * num_parameters(plain[1])
    assert "2 of 5 layers hold 5 models" in str(net_report)


@pytest.mark.parametrize("norms", Norms)
def test_parameters_before_are_those_of_the_original(norms):
    plain = torchvision.models.resnet18(num_classes=10)
    net_report = report(
        superpose(plain, family=BinaryContexts, num_contexts=4, seed=0, base=False, norms=norms)
    )
    if norms is not Norms.BATCH:
        assert net_report.parameters_before == num_parameters(plain)
    if norms is Norms.SHARED:
        assert net_report.parameters_after == num_parameters(plain)


def test_a_complex_number_counts_as_two():
    plain = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    net_report = report(
        superpose(plain, family=ComplexContexts, num_contexts=5, seed=0, base=False)
    )
    assert net_report.parameters_before == 15 + 6
    assert net_report.parameters_after == 2 * 15 + 2 * 5 * 6


def test_tied_weights_are_counted_once():
    plain = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7, bias=False))
    plain[1].weight = plain[0].weight
    net_report = report(superpose(plain, family=BinaryContexts, num_contexts=5, seed=0, base=False))
    assert net_report.parameters_before == net_report.parameters_after == 28


def test_superpose_logs_the_report(caplog):
    caplog.set_level("INFO", logger="psp_nn")
    superpose(nn.Linear(2, 2), family=BinaryContexts, num_contexts=5, seed=0, base=False)
    assert "1 of 1 layers hold 5 models" in caplog.text


def test_an_ordinary_network_has_no_report():
    with pytest.raises(ValueError, match="nothing in this Linear is superposed"):
        report(nn.Linear(2, 2))


def test_a_report_ends_in_shares_and_the_model_in_use():
    plain = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.PReLU())
    options = {"family": BinaryContexts, "num_contexts": 5, "seed": 0}
    net = superpose(plain, base=False, **options)
    net[2].requires_grad_(False)
    with use_context(net, torch.tensor([0, 2])):
        assert str(report(net)).endswith(
            "\n12 (26.1%) superposed, 30 (65.2%) kept per model, 4 (8.7%) shared; 45 trainable; "
            "one model for each of 2 samples in use."
        )
    use_context(net, 3)
    assert report(net).in_use == "model 3"
    use_context(net[1], 2)
    assert report(net).in_use == "several models"
    over_base = report(superpose(plain, base=True, **options))
    assert [layer.num_shared for layer in over_base.layers] == [12 + 3, 6, 1]


def test_a_norm_without_parameters_is_not_listed():
    plain = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3, elementwise_affine=False))
    net = superpose(plain, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    assert [layer.name for layer in report(net).layers] == ["0"]
    assert "1 of 1 layers hold 5 models" in str(report(net))
