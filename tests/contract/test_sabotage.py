"""The contract catches broken classes, and names the law that they break.

Those of other areas stand in `sabotage_<area>.py`, registered by `@broken_case(law)`.
"""

import jax.random as jr
import pytest

from taut.testing import ContractError, check_density

from . import problems, registry, sabotage_core

registry.load("sabotage")


@pytest.mark.parametrize("name", registry.BROKEN)
def test_broken_variants_are_caught(name):
    law, make = registry.BROKEN[name]
    case, message = make(), rf"the ({law}).* law broke by [+-]"
    with pytest.raises(ContractError, match=message) as info:
        registry.check(case, key=jr.key(0))
    assert "standard errors" in str(info.value)


def test_the_unbroken_variants_pass():
    """So that it is the sabotage that was caught, and not the problem."""
    states, normal = problems.uniform_states(), problems.wide_normal()
    check_density(sabotage_core.noisy_prior(), key=jr.key(0), reference=states)
    check_density(sabotage_core.noisy_vae(), key=jr.key(0), reference=normal)
