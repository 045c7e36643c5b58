"""New classes on one head: the paper's experiment on incremental CIFAR with ResNet-18.

A ResNet-18 learns CIFAR-10, then four times ten classes of CIFAR-100 on the same ten outputs, and
is then tested on all of them. Only the preset `paper` has the paper's size:

    python experiments/incremental.py paper              # 5 × 20,000 steps; for a CUDA machine
    python experiments/incremental.py cpu --jobs 2       # narrower, fewer steps, all methods
    python experiments/incremental.py medium --jobs 2    # half the width, 1/10 of the steps
    python experiments/incremental.py wide               # the paper's net, 1/20 of the steps
    python experiments/incremental.py split-cifar100 --jobs 2    # tasks of five classes, cpu size
    python experiments/incremental.py search --jobs 2    # strengths of EWC and SI, cpu size
    python experiments/incremental.py price --jobs 2     # bytes and accuracy per added model
    python experiments/incremental.py smoke              # every method on the digits, in seconds
    python experiments/incremental.py paper --precision bfloat16 --channels-last
    python experiments/incremental.py --method Binary --norms per-context --width 16 --steps 500

Every option of a run takes several values. Without a preset, all their combinations are run. With a
preset, they choose from its values, or replace the value that all its runs share.

The command first estimates its time from a few steps. Each run leaves one record (JSON) in the
folder `incremental` of `--out`, and is not repeated while the record exists. The same command
continues a stopped run from its last checkpoint.
`python experiments/figures.py` draws the figure from the records.
"""

from experiments.studies.incremental.study import STUDY

if __name__ == "__main__":
    STUDY.main(__doc__)
