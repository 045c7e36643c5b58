"""Speed of training in superposition, compared with a bare loop.

Times binary superposition on permuted images through the runner of the experiments (stream,
contexts, step, optimiser, log and progress), as a ratio to

- a *bare* loop with the plain network, all images scaled in one tensor, and the same optimiser;
- the same loop with torch's own, slower RMSprop (*textbook*);
- a loop that feeds the same network from a `DataLoader` of single images with torchvision's
  transforms;
- the matrix *products* of a step alone.

It also compares a step on *rotating* images with one on permuted images, and testing on 50 tasks
with a run of 50 tasks of 1000 steps.

    python experiments/speed.py                          # MNIST at 128, 256 and 2048 units, minutes
    python experiments/speed.py smoke                    # the digits, seconds

One process with one thread times everything in rounds, and takes the median: the place of a wide
network in memory changes its speed by some percent, so all networks are built several times. On
the CPU it measures the time of the process, so that other work on the machine disturbs less.
"""

from experiments.studies.speed.study import STUDY

if __name__ == "__main__":
    STUDY.main(__doc__)
