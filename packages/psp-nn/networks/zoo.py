"""Small random networks of transformers, timm and torchvision, with inputs, by name."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

Built = tuple[nn.Module, dict[str, Any]]

TEXT = """
    albert bert bloom camembert convbert deberta deberta-v2 distilbert electra ernie gemma
    gemma2 glm gpt2 gpt_bigcode gpt_neox gptj granite llama mistral mixtral mpnet
    olmo opt persimmon phi phi3 qwen2 qwen2_moe qwen3 qwen3_moe roberta roformer
    stablelm starcoder2 xglm xlm-roberta
""".split()
IMAGE = """
    beit data2vec-vision deit dinov2 ijepa vit vit_msn
""".split()
TIMM = """
    resnet10t resnet18 resnet18d resnet26 resnetv2_18 resnext26ts seresnext26d_32x4d
    mobilenetv2_035 mobilenetv3_small_050 mobilenetv4_conv_small_035
    tf_mobilenetv3_small_minimal_100 efficientnet_b0 tf_efficientnet_b0 tinynet_e
    mnasnet_small lcnet_035 semnasnet_075 ghostnet_050 regnetx_002 regnety_002 repvgg_a0
    repghostnet_050 fbnetv3_b convnext_atto convnextv2_atto edgenext_xx_small
    inception_next_atto darknet17 densenet121 dla46_c hardcorenas_a spnasnet_100 skresnet18
    ese_vovnet19b_slim vit_tiny_patch16_224 deit_tiny_patch16_224 eva02_tiny_patch14_224
    xcit_nano_12_p16_224 pit_ti_224 poolformer_s12 mixer_s32_224 gmlp_ti16_224 resmlp_12_224
    cait_xxs24_224 convmixer_768_32 levit_128s crossvit_tiny_240 visformer_tiny pvt_v2_b0
    tiny_vit_5m_224 fastvit_t8 mobileone_s0 efficientformerv2_s0
    swin_tiny_patch4_window7_224
""".split()
TORCHVISION = """
    alexnet densenet121 efficientnet_b0 efficientnet_b1 efficientnet_v2_s googlenet
    mnasnet0_5 mnasnet0_75 mnasnet1_0 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small
    regnet_x_400mf regnet_x_800mf regnet_y_400mf regnet_y_800mf resnet18 resnet34 resnet50
    resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 squeezenet1_0
    squeezenet1_1 swin_t vgg11_bn
""".split()
SMALL = {
    **{"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4},
    **{"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "embedding_size": 32},
    **{
        "n_embd": 32,
        "n_layer": 1,
        "n_head": 4,
        "n_inner": 64,
        "rotary_dim": 8,
        "d_model": 32,
        "ffn_dim": 64,
    },
    **{"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 64, "word_embed_proj_dim": 32},
    **{"num_layers": 1, "attention_heads": 4, "max_position_embeddings": 64, "pad_token_id": 0},
    **{"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 8},
    **{"num_experts_per_tok": 2},
    **{
        "num_local_experts": 4,
        "image_size": 32,
        "patch_size": 8,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}


def zoo() -> Iterator[tuple[str, Callable[[], Built]]]:
    """Yield the names of the networks, each with a function that builds it and its inputs."""
    for name in TEXT:
        yield f"transformers {name}", lambda name=name: _transformer(name, _words())
    for name in IMAGE:
        yield f"transformers {name}", lambda name=name: _transformer(name, _pixels(32))
    for name in TIMM:
        yield f"timm {name}", lambda name=name: _timm(name)
    for name in TORCHVISION:
        yield f"torchvision {name}", lambda name=name: _torchvision(name)


def _transformer(name: str, inputs: dict[str, Any]) -> Built:
    from transformers import AutoConfig, AutoModel

    known = type(AutoConfig.for_model(name))()
    small = {key: value for key, value in SMALL.items() if hasattr(known, key)}
    return AutoModel.from_config(AutoConfig.for_model(name, **small)).eval(), inputs


def _timm(name: str) -> Built:
    import timm

    net = timm.create_model(name, num_classes=5).eval()
    size = net.default_cfg["input_size"][-1]
    return net, {"x": torch.randn(3, 3, size, size)}


def _torchvision(name: str) -> Built:
    import torchvision

    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    net = torchvision.models.get_model(name, weights=None, num_classes=5, **options).eval()
    return net, {"x": torch.randn(3, 3, 64, 64)}


def _words() -> dict[str, Any]:
    return {"input_ids": torch.randint(3, 100, (3, 7))}


def _pixels(size: int) -> dict[str, Any]:
    return {"pixel_values": torch.randn(3, 3, size, size)}
