"""Several densities as one, over a tuple."""

from collections.abc import Sequence

from ..core.checks import check_at_least, particle_keys
from ..core.density import AbstractReparameterised


class Independent(AbstractReparameterised[tuple]):
    """`prod_j q_j(x_j)`: say, a guide for each layer of a model, refined at once.

    All are made from noise; chains of layers are `Joint`.
    """

    densities: tuple[AbstractReparameterised, ...]

    def __init__(self, densities: Sequence[AbstractReparameterised]):
        self.densities = tuple(densities)
        check_at_least("Independent: the number of densities", len(self.densities), 1)
        for q in self.densities:
            if not isinstance(q, AbstractReparameterised):
                raise TypeError(
                    "Independent: expected densities with `to_noise`, such as `Normal`;"
                    f" got {type(q).__name__}. Use `Joint` for others."
                )

    def noise(self, key):
        keys = particle_keys(key, len(self.densities))
        return tuple(q.noise(k) for q, k in zip(self.densities, keys))

    def from_noise(self, noise):
        return tuple(q.from_noise(e) for q, e in zip(self.densities, noise))

    def to_noise(self, x):
        return tuple(q.to_noise(part) for q, part in zip(self.densities, x))

    def log_density(self, x):
        terms = [q.log_density(part) for q, part in zip(self.densities, x)]
        return sum(terms[1:], terms[0])
