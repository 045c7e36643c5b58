"""The base as the inputs of the model in use see it, cached for fast training steps."""

import torch
from torch import Tensor

from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import One
from psp_nn.layers.state import BoundBase


def bound_base(layer: Layer, name: str = "weight") -> Tensor | None:
    """Return R_k base C_k⁻¹ for the model in use, computed when first used.

    To it D is added in one pass: base x + R_k⁻¹ D C_k x = R_k⁻¹ (R_k base C_k⁻¹ + D) C_k x.

    Returns:
        The bound base, or None where a cached one could be wrong: several models are in use,
        contexts are learned, or the base is a tensor of a transform.
    """
    state, base = layer.superposition, layer.base(name)
    if (
        type(base) is not Tensor
        or name not in state.operators
        or not isinstance(state.selection, One)
        or not isinstance(state.selection.index, int)
        or torch._C._functorch.is_functorch_wrapped_tensor(base)
    ):
        return None
    # In-place changes, as by `load_state_dict`, raise the version. Inference tensors have none.
    version = 0 if base.is_inference() else base._version
    operator = layer.operator(name)  # drops the cache if the dtype or device has changed
    cached = state.bound_bases.get(name)
    if cached is None or cached.base is not base or cached.version != version:
        with torch.no_grad(), torch.inference_mode(False):
            outputs = layer.output_operator(name)
            bound = base if outputs is None else layer.bind_outputs(name, outputs, base)
            rows = operator.store(layer.to_rows(name, bound)).to(base.dtype)
            cached = BoundBase(layer.from_rows(name, rows), base, version)
        state.bound_bases[name] = cached
    return cached.value
