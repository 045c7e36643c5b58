"""Fifty tasks in one network: the paper's experiment on permuted images.

A network learns one task after another: the same images with their pixels in another order. Then it
is tested on all tasks. The presets are the paper's figures, of 50 tasks of 1000 steps:

    python experiments/permuting.py figure-2 --jobs 2
    python experiments/permuting.py figure-3 --jobs 2
    python experiments/permuting.py table --jobs 2
    python experiments/permuting.py table --jobs 2 --width 256 --method EWC SI    # part of it
    python experiments/permuting.py search --jobs 2      # strengths of EWC and SI
    python experiments/permuting.py ten-tasks --jobs 2   # the same after ten tasks, not fifty
    python experiments/permuting.py learning-rate --jobs 2   # ten times the paper's
    python experiments/permuting.py three-layers --jobs 2    # one hidden layer more
    python experiments/permuting.py many-tasks --jobs 2      # 100 and 250 networks at 2000 units
    python experiments/permuting.py price-search --jobs 2    # learning rates of LoRA, BitDelta, …
    python experiments/permuting.py price --jobs 2       # bytes and accuracy per added model
    python experiments/permuting.py published --jobs 2   # EWC and SI as their papers ran them
    python experiments/permuting.py smoke                # every method in seconds
    python experiments/permuting.py --method Binary Complex --width 512 --seed 0 1 --tasks 20

Every option of a run takes several values. Without a preset, all their combinations are run. With a
preset, they choose from its values, or replace the value that all its runs share.

Each run leaves one record (JSON) in the folder `permuting` of `--out`, named after everything that
its result depends on, and is not repeated while the record exists. The same command continues a
stopped run from its last checkpoint, and ends with the same results.
`python experiments/figures.py` draws the figures from the records.
"""

from experiments.studies.permuting.study import STUDY

if __name__ == "__main__":
    STUDY.main(__doc__)
