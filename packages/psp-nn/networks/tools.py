"""Situations that need large packages: PEFT, accelerate, transformers, torch_geometric."""

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import load, retrieve, save, superpose, use_context

OPTIONS = {"family": BinaryContexts, "num_contexts": 5, "seed": 0, "base": True}


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64}
    heads = {"num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads)).eval()


def test_an_adapter_is_not_merged_into_a_superposition():
    from peft import LoraConfig, get_peft_model

    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    config = {"target_modules": ["0", "2"], "r": 2, "init_lora_weights": False}
    lora = get_peft_model(superpose(net, **OPTIONS), LoraConfig(**config)).eval()
    with pytest.raises(RuntimeError, match=r"as a copy, so that a change in place would be lost"):
        lora.merge_and_unload()
    lora = get_peft_model(retrieve(superpose(net, **OPTIONS), 1), LoraConfig(**config)).eval()
    x = torch.randn(3, 4)
    torch.testing.assert_close(lora(x), lora.merge_and_unload()(x))


def test_the_vocabulary_of_a_superposition_is_not_resized():
    net = superpose(llama(), **OPTIONS)
    with pytest.raises(RuntimeError, match=r"'weight' of layer 'model\.embed_tokens'"):
        net.resize_token_embeddings(120)
    assert net.get_input_embeddings().stored().shape == (100, 32)
    assert retrieve(net, 1).resize_token_embeddings(120).weight.shape == (120, 32)


def test_a_superposition_is_not_saved_as_one_model(tmp_path):
    net = superpose(llama(), **OPTIONS)
    with pytest.raises(RuntimeError, match=r"use psp_nn\.save"):
        net.save_pretrained(tmp_path)
    retrieve(net, 1).save_pretrained(tmp_path)


def test_offloading_is_refused_and_leaves_the_network():
    from accelerate import cpu_offload

    net, x = superpose(nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8)), **OPTIONS), torch.ones(2, 4)
    before = net(x)
    with pytest.raises(RuntimeError, match="accelerate's hooks would move one of its models"):
        cpu_offload(net, execution_device=torch.device("cpu"))
    assert torch.equal(net(x), before)


def test_averaging_of_weights_resets_the_statistics_of_the_model_in_use():
    import lightning
    from lightning.pytorch.callbacks import StochasticWeightAveraging

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            plain = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
            self.net = superpose(plain, **OPTIONS)

    module = Module()
    use_context(module.net, 2)
    module.net(torch.randn(9, 4))
    callback = StochasticWeightAveraging(swa_lrs=0.1)
    callback.reset_batch_norm_and_save_state(module)
    assert module.net[1].num_batches_tracked == 0
    assert module.net.state_dict()["1.running_mean"].shape == (5, 8)


@pytest.mark.parametrize(
    ("batch", "options"),
    [
        (1, {}),
        (3, {}),
        (5, {}),  # as long as the prompt
        (3, {"num_beams": 2}),
        (3, {"cache_implementation": "static"}),
        (3, {"use_cache": False}),
    ],
)
@pytest.mark.parametrize("padded", [False, True])
def test_generation_mixes_contexts(batch, options, padded):
    net = superpose(llama(), **OPTIONS)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) / 10)
    tokens = torch.randint(3, 100, (batch, 5))
    mask = torch.ones_like(tokens)
    mask[: batch // 2, :2] = not padded
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0} | options
    index, alone = torch.arange(batch) * 2 % 5, []
    for i, k in enumerate(index.tolist()):
        with use_context(net, k):
            one = tokens[i : i + 1], mask[i : i + 1]
            alone.append(net.generate(one[0], attention_mask=one[1], **options))
    beams = options.get("num_beams", 1)
    with use_context(net, index.repeat_interleave(beams)):
        mixed = net.generate(tokens, attention_mask=mask, **options)
    for i, expected in enumerate(alone):
        assert torch.equal(mixed[i, : expected.shape[1]], expected[0])


@pytest.mark.filterwarnings("ignore")  # torch_geometric uses what torch has deprecated
@pytest.mark.parametrize("name", ["GCNConv", "GATConv", "SAGEConv"])
def test_the_linear_layers_of_torch_geometric_are_superposed(name, tmp_path):
    from torch_geometric import nn as geometric

    class Graphs(nn.Module):
        def __init__(self):
            super().__init__()
            kind = getattr(geometric, name)
            self.first, self.last = kind(8, 16), kind(16, 3)

        def forward(self, x, edges):
            return self.last(self.first(x, edges).relu(), edges)

    torch.manual_seed(0)
    plain, x, edges = Graphs(), torch.randn(6, 8), torch.randint(6, (2, 12))
    net = superpose(plain, **OPTIONS)
    torch.testing.assert_close(net(x, edges), plain(x, edges))
    use_context(net, 2)
    net(x, edges).square().mean().backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    trained = net(x, edges)
    assert not torch.allclose(trained, plain(x, edges))
    torch.testing.assert_close(retrieve(net, 2)(x, edges), trained)
    save(net, tmp_path / "net.safetensors")
    other = superpose(plain, **OPTIONS)
    load(tmp_path / "net.safetensors", into=other)
    use_context(other, 2)
    assert torch.equal(other(x, edges), trained)
