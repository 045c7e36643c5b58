"""A run on rotating images: one method, one choice of contexts, one seed."""

from dataclasses import dataclass
from typing import Literal

from experiments.methods.method import METHODS, Method
from experiments.runner.learner import Precision
from experiments.runner.run import Run
from experiments.studies.rotating.contexts import MAX_INFERRED, can_infer

Dataset = Literal["mnist", "fashion_mnist", "digits"]

Choose = Literal["clock", "appearance", "confidence"]

METHOD_NAMES = (
    "standard",
    *(name for name, method in METHODS.items() if method.family and not method.base),
)


@dataclass(frozen=True, kw_only=True)
class RotatingRun(Run):
    """Everything that a result depends on; most defaults are the paper's recipe.

    Example:
        >>> from experiments.methods.method import METHODS
        >>> from experiments.studies.rotating.run import RotatingRun
        >>> RotatingRun().name
        'fashion_mnist-Binary-10-2x256-seed0'
        >>> method, options = METHODS["Complex"], {"dataset": "mnist", "choose": "appearance"}
        >>> RotatingRun(method=method, seed=1, turns=5, **options).name
        'mnist-Complex-10-appearance-2x256-seed1-turns5'
    """

    width: int = 256
    """Units in each hidden layer."""

    turns: int = 50
    """Number of full rotations of the images."""

    period: int = 1000
    """Training steps per turn."""

    precision: Precision = "float32"
    """Precision of the products; bfloat16 keeps weights and optimiser in float32."""

    compile: bool = False
    """Train through torch.compile."""

    inferred_every: int = 1000
    """Steps between two tests at 0° with inferred contexts; a multiple of curve_every."""

    inferred_images: int = 250
    """Test images that are tested under many contexts each."""

    edge_images: int = 1000
    """Test images per angle around the end of a window."""

    method: Method = METHODS["Binary"]
    """Methods: standard, or a family of contexts."""

    seed: int = 0
    """Seeds of the weights, the contexts and the order of the samples."""

    dataset: Dataset = "fashion_mnist"
    """Images that rotate."""

    contexts: int = 10
    """Number of contexts; the clock divides a turn evenly among them. One for standard."""

    choose: Choose = "clock"
    """Source of the context of a batch."""

    hidden_layers: int = 2
    """Number of hidden layers."""

    def __post_init__(self) -> None:
        """Check the fields; a net without contexts is the same for every number of contexts."""
        super().__post_init__()
        self.check_choices("method", METHOD_NAMES)
        self.check_counts("width", "turns", "period", "inferred_every", "inferred_images")
        self.check_counts("edge_images", "contexts", "hidden_layers")
        self.check_counts("seed", least=0)
        self.method.check_dim(self.width)
        if not self.method.family:
            self.fill("contexts", 1)
        if self.inferred_every % self.curve_every:
            raise ValueError(
                f"inferred_every={self.inferred_every} must be a multiple of "
                f"curve_every={self.curve_every}."
            )
        if self.contexts > self.period:
            raise ValueError(
                f"contexts={self.contexts} exceeds the {self.period} steps of a turn; use fewer "
                "contexts or a longer period."
            )
        if self.choose != "clock" and not can_infer(self.contexts):
            raise ValueError(
                f"choose={self.choose} needs a method with 3 to {MAX_INFERRED} contexts, but "
                f"{self.method} has {self.contexts}."
            )
        if self.choose == "appearance":
            self.check_counts("batch", least=2)  # one image has no variance

    @property
    def name(self) -> str:
        """Stem of the run's files, with everything that is not the paper's recipe."""
        parts = [self.dataset, str(self.method)]
        if self.method.family:
            parts.append(f"{self.contexts}")
        if self.choose != "clock":
            parts.append(self.choose)
        parts += [f"{self.hidden_layers}x{self.width}", f"seed{self.seed}"]
        spelled = ("method", "seed", "dataset", "contexts", "choose", "hidden_layers", "width")
        return self.spell(parts, spelled)

    @property
    def image_sets(self) -> tuple[str, ...]:
        """The images that rotate."""
        return (self.dataset,)

    def cost(self) -> float:
        """Estimate the time of the steps: their overhead and their products."""
        inputs = 64 if self.dataset == "digits" else 784
        lengths = [inputs] + [self.width] * (self.hidden_layers - 1)
        products = 2.6 * sum(length * self.width for length in lengths) * self.batch
        if self.method.is_complex:
            products *= 4
        if self.choose == "confidence":
            products *= 1 + self.contexts / 12  # a pass under every context, on some of the images
        if self.method == METHODS["Rotation"]:
            products += 2 * sum(length**2 for length in lengths) * self.batch
        return self.turns * self.period * (2e7 + products)
