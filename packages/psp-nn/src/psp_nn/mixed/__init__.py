"""Calls of a network whose batch mixes contexts.

The result for a sample is by definition that of a call with this sample alone and its context.
`use_context` puts a `MixedForward` in the place of the network's `forward`. It takes each call as
a `Call`: a flat list of what is in the arguments, with the dimension of the samples in each tensor.
A call runs `at_once` for all samples under `torch.vmap`, which knows in every layer where they lie,
or `by_context` for those of one model at a time. The first call of a kind has a *rehearsal* with
one model for all samples, in which a plain run must give what samples give alone, and what the call
will give. Its outcome is a *plan* for later calls of this kind: where the samples lie in the
results, and which way to run. `ModuleState` undoes what a rehearsal changes in modules.
"""
