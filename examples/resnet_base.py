"""A ResNet-18 with a base, six tasks.

One ResNet-18 is trained on the digits. Six versions of it are then fine-tuned in superposition,
each for digits that were turned or inverted in another way. About two minutes on one core.
"""

# %%
# The tasks: the digits as they are for the base, then six changes of them.
import torch
from torch import nn
from torchvision.models import resnet18

from psp_contexts import BinaryContexts
from psp_data import load
from psp_nn import report, superpose, use_context

digits = load("digits").resized(16)
train_x = digits.train_images.float().expand(-1, 3, -1, -1) / digits.train_images.max() - 0.5
test_x = digits.test_images.float().expand(-1, 3, -1, -1) / digits.test_images.max() - 0.5
train_y, test_y = digits.train_labels, digits.test_labels
tasks = [
    lambda x: x.rot90(1, (2, 3)),
    lambda x: x.rot90(2, (2, 3)),
    lambda x: x.rot90(3, (2, 3)),
    lambda x: x.flip(3),
    lambda x: -x,
    lambda x: -x.rot90(1, (2, 3)),
]

# %%
# A version's norms age while others are trained. Inside `use_context`, `update_bn` estimates them
# again from a few batches without labels.


def fit(net, change, steps, rate):
    net.train()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.RMSprop(trained, lr=rate)
    for batch in torch.randint(len(train_x), (steps, 64)):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(change(train_x[batch])), train_y[batch]).backward()
        optimiser.step()


@torch.no_grad()
def accuracy(net, change):
    net.eval()
    torch.optim.swa_utils.update_bn([change(train_x[:512])], net)
    return (net.eval()(change(test_x)).argmax(1) == test_y).float().mean().item()


# %%
# The base, then the six versions.
torch.manual_seed(0)
base = resnet18(num_classes=10)
fit(base, lambda x: x, steps=60, rate=3e-4)
print(f"base {accuracy(base, lambda x: x):.3f}")
net = superpose(base, family=BinaryContexts, num_contexts=6, seed=0, base=True)
print(str(report(net)).splitlines()[-2])  # the line with the sizes
before = []
for task, change in enumerate(tasks):
    with use_context(net, task):
        before.append(accuracy(net, change))
        fit(net, change, steps=30, rate=1e-4)

# %%
# After all six, each version on its own digits, before and after fine-tuning.
after = []
for task, change in enumerate(tasks):
    with use_context(net, task):
        after.append(accuracy(net, change))
    print(f"task {task}: {before[task]:.3f} -> {after[task]:.3f}")
assert sum(after) > sum(before) + 1
