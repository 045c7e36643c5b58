"""Export to ONNX.

A retrieved model is an ordinary network without a trace of superposition. It exports as any
other. Needs onnx, onnxscript and onnxruntime.
"""

# %%
# A superposition of fifty models; model 7 is wanted elsewhere.
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import retrieve, superpose, use_context

net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0, base=False).eval()
model = retrieve(net, 7)

# %%
# The exporter warns of its own dependencies; that is not ours to change.
x = torch.randn(4, 64)
path = Path(tempfile.mkdtemp()) / "model-7.onnx"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.onnx.export(model, (x,), path, dynamo=True, verbose=False)

# %%
# It reads as model 7.
session = onnxruntime.InferenceSession(path)
(logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
with torch.no_grad(), use_context(net, 7):
    np.testing.assert_allclose(logits, net(x).numpy(), rtol=1e-4, atol=1e-5)
print("ONNX Runtime and the superposition agree.")
