"""Rotating images: the paper's experiment on an input distribution that drifts and returns.

A network sees images that rotate a little at every step, one turn in 1000 steps, 50 turns in all,
and is tested on images at 0°. The presets are the paper's figures, of 50 turns:

    python experiments/rotating.py figure-4 --jobs 2     # two image sets, all families, ten layers
    python experiments/rotating.py figure-5 --jobs 2     # families and choices of context
    python experiments/rotating.py figure-4 --jobs 2 --dataset mnist --seed 0     # part of it
    python experiments/rotating.py smoke                 # every kind in seconds
    python experiments/rotating.py --method Complex --contexts 1000 --turns 10

`--contexts` divide a turn evenly: 10 are the paper's windows of 100 steps, 1000 its *fast*, and
with `--method LocalMix` its *fast with local mix*. With `--choose appearance` or `confidence` the
images select the context, without a clock.

Every option of a run takes several values. Without a preset, all their combinations are run. With a
preset, they choose from its values, or replace the value that all its runs share.

Each run leaves one record (JSON) in the folder `rotating` of `--out`, named after everything that
its result depends on, and is not repeated while the record exists. The same command continues a
stopped run from its last checkpoint, and ends with the same results.
`python experiments/figures.py` draws the figures from the records.
"""

from experiments.studies.rotating.study import STUDY

if __name__ == "__main__":
    STUDY.main(__doc__)
