"""One layer on a small device.

A layer of many models needs its weights and one key of 128 bits. The signs of a context are drawn
from the key while the layer runs. The C code is `examples/signs.c`: C99, no library, no memory
allocated.
"""

# %%
# Compile it here, with any C compiler, and call it from Python.
import ctypes
import hashlib
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import superpose, use_context

source = Path(__file__).with_name("signs.c")
library = Path(tempfile.mkdtemp()) / "signs.so"
subprocess.run(
    ["cc", "-std=c99", "-Wall", "-Werror", "-O2", "-shared", "-fPIC", "-o", library, source],
    check=True,
)
device = ctypes.CDLL(str(library))

# %%
# The key is a digest of family, layer and seed.


def key_of(contexts):
    label = "\0".join([type(contexts).__name__, contexts.name, str(contexts.seed)])
    digest = hashlib.blake2b(label.encode(), digest_size=16).digest()
    return (ctypes.c_uint64 * 2).from_buffer_copy(digest)  # on a little-endian machine


def pointer(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


def on_device(weight, bias, contexts, context, x):
    y = torch.empty(len(weight))
    tensors = [pointer(t) for t in (weight, bias, x, y)]
    device.layer(key_of(contexts), ctypes.c_uint64(context), len(x), len(weight), *tensors)
    return y


# %%
# The signs are ours, bit for bit: with an identity as weights the layer returns C_k x.
for dim in (1, 63, 64, 65, 300):
    for seed, name in ((0, "fc1"), (12345, "body.head")):
        contexts = BinaryContexts(dim, num_contexts=1_000_000, seed=seed, name=name)
        for context in (0, 1, 77, 999_999):
            signs = on_device(torch.eye(dim), torch.zeros(dim), contexts, context, torch.ones(dim))
            assert torch.equal(signs, contexts.bind(torch.ones(dim), context))

# %%
# A layer of fifty models.
net = superpose(nn.Linear(100, 10), family=BinaryContexts, num_contexts=50, seed=0, base=False)
weight, bias = net.stored().detach(), net.bias.detach()
x = torch.randn(100)
for context in (0, 7, 49):
    with torch.no_grad(), use_context(net, context):
        ours = on_device(weight, bias, net.contexts_for("weight"), context, x)
        torch.testing.assert_close(ours, net(x[None])[0])
print("The device's signs and outputs are the same.")
