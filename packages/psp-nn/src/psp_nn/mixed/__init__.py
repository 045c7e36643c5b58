"""Calls of a network whose batch mixes contexts.

`use_context` puts a `forward.MixedForward` in the place of the network's `forward`. Each time it
makes a `call.Call` of the arguments, which says where the samples lie in them, and runs it in one
of two ways: all samples at once under `torch.vmap`, or the samples of one context at a time. The
first call of a kind is rehearsed: with one model for all samples, a plain run must give what each
sample gives alone, and what the way of running gives. That yields a `rehearsal.Plan`, kept for
later calls of this kind: where the samples lie in the results, and which way works.

`structure` finds the tensors in arguments, results and attributes; with it, `module_state` undoes
what a rehearsal changed in the modules. `operators` gives layers under `torch.vmap` their contexts.
"""
