"""Closed forms of the interference between models in superposition.

They are evaluated in double precision on the CPU, whatever the device of their arguments.
"""

from analysis.theory._families import Family as Family
from analysis.theory._gradient import step_mean as step_mean
from analysis.theory._gradient import step_on_other as step_on_other
from analysis.theory._gradient import step_second_moment as step_second_moment
from analysis.theory._interference import fourth_moment as fourth_moment
from analysis.theory._interference import mean as mean
from analysis.theory._interference import pseudo_moment as pseudo_moment
from analysis.theory._interference import real_covariance as real_covariance
from analysis.theory._interference import real_second_moment as real_second_moment
from analysis.theory._interference import second_moment as second_moment
from analysis.theory._interference import tail_bound as tail_bound
from analysis.theory._noise import expected_noise_power as expected_noise_power
from analysis.theory._random_frames import LinearRetention as LinearRetention
from analysis.theory._random_frames import linear_retention as linear_retention
from analysis.theory._snr import largest_num_models as largest_num_models
from analysis.theory._snr import snr as snr
from analysis.theory._snr import squared_alignment as squared_alignment
from analysis.theory._subspace import coherence_penalty as coherence_penalty
from analysis.theory._subspace import expected_overlap as expected_overlap
from analysis.theory._subspace import leverage_scores as leverage_scores
from analysis.theory._two_sided import ProfileCosts as ProfileCosts
from analysis.theory._two_sided import profile_costs as profile_costs
from analysis.theory._two_sided import transmitted_moment as transmitted_moment

__all__ = [
    "Family",
    "LinearRetention",
    "ProfileCosts",
    "coherence_penalty",
    "expected_noise_power",
    "expected_overlap",
    "fourth_moment",
    "largest_num_models",
    "leverage_scores",
    "linear_retention",
    "mean",
    "profile_costs",
    "pseudo_moment",
    "real_covariance",
    "real_second_moment",
    "second_moment",
    "snr",
    "squared_alignment",
    "step_mean",
    "step_on_other",
    "step_second_moment",
    "tail_bound",
    "transmitted_moment",
]
