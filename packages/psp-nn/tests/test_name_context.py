import copy

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import (
    load,
    name_context,
    remove,
    report,
    retrieve,
    save,
    store,
    superpose,
    use_context,
)


def named(**names):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    net = superpose(net, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    for name, context in names.items():
        name_context(net, context, name)
    return net.eval()


def test_a_name_stands_for_the_index():
    net, x = named(ann=3), torch.randn(2, 3)
    with use_context(net, 3):
        expected = net(x)
    with use_context(net, "ann"):
        assert torch.equal(net(x), expected)
        assert "model 3 (ann) in use" in str(report(net))
    assert torch.equal(retrieve(net, "ann")(x), expected)
    model = retrieve(net, "ann")
    store(net, "ann", model, replace=True)
    other = retrieve(net, 2)
    store(net, 2, other)
    name_context(net, 2, "bob")
    remove(net, "bob", other)


def test_a_list_of_names_mixes_models_in_a_batch():
    net, x = named(ann=3, bob=1), torch.randn(3, 3)
    with use_context(net, ["ann", "bob", "ann"]):
        mixed = net(x)
    with use_context(net, torch.tensor([3, 1, 3])):
        assert torch.equal(net(x), mixed)
    with pytest.raises(ValueError, match="'eve' is the name of no model"):
        use_context(net, ["ann", "eve"])
    with pytest.raises(ValueError, match="3 is the name of no model"):
        use_context(net, ["ann", 3])


def test_an_unknown_name_says_which_exist():
    with pytest.raises(ValueError, match=r"'eve' is the name of no model; the names are none yet"):
        use_context(named(), "eve")
    with pytest.raises(ValueError, match=r"'eve' is .*; the names are 'ann', 'bob', and name_con"):
        retrieve(named(ann=3, bob=1), "eve")


def test_a_model_has_one_name_and_a_name_one_model():
    net = named(ann=3)
    with pytest.raises(ValueError, match="context 3 has the name 'ann' already"):
        name_context(net, 2, "ann")
    name_context(net, "ann", "anne")
    with pytest.raises(ValueError, match="the names are 'anne'"):
        use_context(net, "ann")
    name_context(net, 3, "anne")
    with pytest.raises(IndexError, match="context=5"):
        name_context(net, 5, "bob")
    with pytest.raises(TypeError, match="str"):
        name_context(net, 2, 7)
    with pytest.raises(ValueError, match="call superpose first"):
        name_context(nn.Linear(2, 2), 0, "ann")


def test_a_part_of_a_network_knows_the_names():
    net = named(ann=3)
    use_context(net[2], "ann")
    assert net[2].superposition.selection.index == 3
    assert net[0].superposition.selection.index == 0


def test_names_and_the_record_of_stored_models_travel_with_the_network(tmp_path):
    net = named(ann=3)
    model = retrieve(net, 3)
    store(net, "ann", model)
    save(net, tmp_path / "net")
    torch.save(net.state_dict(), tmp_path / "state")
    by_file, by_state = named(bob=1), named(bob=1)
    load(tmp_path / "net", into=by_file)
    by_state.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for other in (by_file, by_state, copy.deepcopy(net)):
        use_context(other, "ann")
        with pytest.raises(ValueError, match="the names are 'ann'"):
            use_context(other, "bob")
        with pytest.raises(ValueError, match="context 3 holds a model"):
            store(other, 3, model)
        remove(other, 3, model)
    use_context(net, "ann")  # copies have their own record


def test_a_state_dict_without_a_record_leaves_the_names():
    net = named(ann=3)
    state = {name: v for name, v in net.state_dict().items() if "model_record" not in name}
    net.load_state_dict(state)
    use_context(net, "ann")


@pytest.mark.parametrize(
    "text", ["", "7", "{}", '{"names": {"a": -1}, "digests": {}, "refined": []}']
)
def test_a_damaged_record_is_refused(text):
    net = named(ann=3)
    state = net.state_dict()
    state["0.model_record._extra_state"] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    with pytest.raises((ValueError, RuntimeError), match=r"no record of models|names context"):
        net.load_state_dict(state)
    use_context(net, "ann")


def test_retrieved_models_have_no_record():
    assert set(retrieve(named(ann=3), 3).state_dict()) == set(
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).state_dict()
    )
