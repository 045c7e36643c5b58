"""GPT-2 in ten languages.

A tiny GPT-2 with random weights learns to spell European words. Ten versions of it are then
fine-tuned in superposition, one for each language, and write in one mixed batch. Needs
transformers and wordfreq. About two minutes on one core.
"""

# %%
# The frequent words of ten languages, as characters; 0 starts and ends a word. The last 400 words
# of each language are kept for the test.
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel
from wordfreq import top_n_list

from psp_contexts import BinaryContexts
from psp_nn import report, superpose, use_context

languages = ["cs", "de", "en", "es", "fi", "fr", "hu", "it", "pl", "tr"]
length = 14
words = [
    [word for word in top_n_list(language, 12_000) if word.isalpha() and 4 <= len(word) <= 12]
    for language in languages
]
alphabet = sorted(set("".join(word for some in words for word in some[:4000])))


def encode(word):
    codes = [0, *(1 + alphabet.index(letter) for letter in word)]
    return codes + [0] * (length - len(codes))


def decode(codes):
    return "".join(alphabet[code - 1] for code in codes if code)


data = torch.tensor([[encode(word) for word in some[:4000]] for some in words])
train, test = data[:, :-400], data[:, -400:]


# %%
# Each batch mixes the languages.


def loss(net, codes):
    targets = codes[:, 1:].masked_fill((codes[:, 1:] == 0).cumsum(1) > 1, -100)
    logits = net(codes).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def fit(net, steps, mixed):
    trained = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=2e-3, weight_decay=0)
    for _ in range(steps):
        language, word = torch.randint(10, (64,)), torch.randint(train.shape[1], (64,))
        optimiser.zero_grad()
        if mixed:
            use_context(net, language)
        loss(net, train[language, word]).backward()
        optimiser.step()


# %%
# The base learns from all languages, and its ten versions from one each.
torch.manual_seed(0)
special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
size = {"vocab_size": 1 + len(alphabet), "n_positions": length, "n_embd": 64, "n_layer": 2}
base = GPT2LMHeadModel(GPT2Config(**size, n_head=4, **special, **dropout))
fit(base, steps=300, mixed=False)
net = superpose(base, family=BinaryContexts, num_contexts=10, seed=0, base=True)
print(str(report(net)).splitlines()[-2])
fit(net, steps=600, mixed=True)
base.eval()
net.eval()

# %%
# The loss of a character on words that were not trained, before and after.
with torch.no_grad():
    before = loss(base, test.flatten(0, 1)).item()
    with use_context(net, torch.arange(10).repeat_interleave(400)):
        after = loss(net, test.flatten(0, 1)).item()
print(f"loss per character: base {before:.2f}, versions {after:.2f}")

# %%
# Twenty words of each language, written in one batch.


def write(net, count):
    start = torch.zeros(count, 1, dtype=torch.long)
    options = {"do_sample": True, "top_k": 0, "max_new_tokens": length - 1}
    codes = net.generate(start, attention_mask=torch.ones_like(start), **options)
    return nn.functional.pad(codes, (0, length - codes.shape[1]))


language = torch.arange(10).repeat_interleave(20)
with torch.no_grad(), use_context(net, language):
    written = write(net, len(language))
for k, name in enumerate(languages):
    print(name, *map(decode, written[language == k][:6].tolist()))

# %%
# Do they look like their language? A classifier knows only how often one letter follows another
# in the training words. It is wrong for a quarter of the real words, too.
pairs = torch.full((10, 1 + len(alphabet), 1 + len(alphabet)), 0.5)
for k, codes in enumerate(train):
    pairs[k].index_put_((codes[:, :-1], codes[:, 1:]), torch.tensor(1.0), accumulate=True)
pairs[:, 0, 0] = 1.0  # the padding says nothing
scores = (pairs / pairs.sum(-1, keepdim=True)).log()
scores[:, 0, 0] = 0.0


def recognised(codes, language):
    return (scores[:, codes[:, :-1], codes[:, 1:]].sum(-1).argmax(0) == language).float().mean()


real = recognised(test.flatten(0, 1), torch.arange(10).repeat_interleave(400)).item()
ours = recognised(written, language).item()
theirs = recognised(write(base, len(language)), language).item()
print(f"recognised: real words {real:.2f}, written {ours:.2f}, written by the base {theirs:.2f}")
assert after < before - 0.3
assert ours > theirs + 0.3
