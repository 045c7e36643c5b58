"""Capacity: the number of models that fit into one set of weights.

Measures, by default on the handwritten digits of scikit-learn,

1. *retrieval*: the signal-to-noise ratio of a model read back from among K stored ones, family by
   family, for aligned models and for the layers of trained networks, beside the closed form;
2. *networks*: how many two-hidden-layer networks, trained one after the other with a context
   each, stay within a tolerance of the accuracy that they had after their own training;
3. *prediction*: the same number, predicted from the first five networks.

    python experiments/capacity.py                    # two to three minutes on two cores
    python experiments/capacity.py smoke              # its smallest form, seconds
    python experiments/capacity.py mnist --jobs 2     # the study on MNIST, half an hour
    python experiments/capacity.py ten-seeds          # ten seeds instead of two
    python experiments/capacity.py predict --dataset mnist --width 1024 --models 1000    # minutes

The last command trains five networks and predicts the rest.

It prints the tables, and writes one record (JSON) and the figures (PNG and SVG). The same command
continues a stopped study.
"""

from experiments.studies.capacity.study import STUDY

if __name__ == "__main__":
    STUDY.main(__doc__)
