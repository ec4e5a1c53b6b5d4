"""Multi-sample guides of your own as the method of `sandwich`."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array, Float

from ..core.checks import check_at_least
from ..core.sampler import AbstractSampler
from .methods import Method
from .runs import BLOCK


@dataclass(frozen=True)
class MultiSample:
    """`build(num)`, any sampler of the library with `num` draws, such as `Hierarchical`
    or `Refined`, over vectors in whitened coordinates: there the fit is about N(0, I).

    The pilot tries `pilot` draws; the final run has as many as the budget pays for, at
    most `most`.
    """

    build: Callable[[int], AbstractSampler[Float[Array, " D"]]]
    pilot: int = 8
    most: int = 10_000

    def __post_init__(self):
        check_at_least("MultiSample: pilot", self.pilot, 1)
        check_at_least("MultiSample: most", self.most, self.pilot)

    def method(self) -> Method:
        kind = type(self.build(self.pilot))
        if not issubclass(kind, AbstractSampler):
            raise TypeError(
                "MultiSample: expected `build(num)` to be a sampler, such as "
                f"`lambda num: Refined(q, 0.1, num - 1)`; got {kind.__name__}."
            )
        return Method(
            f"guide, {kind.__name__}",
            self.build,
            lambda num: num,
            self.pilot,
            self.most,
            at_once=BLOCK,
            settings={"length": "draws"},
        )
