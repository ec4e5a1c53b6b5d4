"""Log evidence by other libraries, and by `taut`, on the same problems and machine.

python benchmarks/evidence_rivals.py            everything, each in its own process
python benchmarks/evidence_rivals.py RIVAL TASK one of them, as a line of JSON
"""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from evidence_tasks import TASKS, Task

from taut.evidence import references, sandwich

HERE = Path(__file__).parents[1] / "docs" / "results"
LIMIT = 150  # seconds for one rival on one problem


def taut(name, task):
    found = sandwich(references.load(name), budget=60)
    value, error = found.estimate.value, found.estimate.se
    ends = [found.lower.value, found.upper.value]
    return value, error, {"ends": ends, "verdict": found.verdict.word}


def blackjax_smc(name, task: Task):
    """2,000 particles, temperatures at 90 % ESS, ten HMC steps scaled as the particles.

    Step sizes follow the spread of the particles and the acceptance, as in the
    library's examples of inner-kernel tuning.
    """
    import blackjax
    from blackjax.smc.resampling import systematic

    num, key = 2000, jr.key(0)
    particles = jax.vmap(task.from_cube)(jr.uniform(key, (num, task.dim)))
    build = partial(
        blackjax.adaptive_tempered_smc,
        task.log_prior,
        task.log_likelihood,
        blackjax.hmc.build_kernel(),
        blackjax.hmc.init,
        resampling_fn=systematic,
        target_ess=0.9,
        num_mcmc_steps=10,
    )

    @jax.jit
    def step(key, state, step_size, inverse_mass):
        parameters = {
            "step_size": step_size[None],
            "inverse_mass_matrix": inverse_mass[None],
            "num_integration_steps": jnp.array([5]),
        }
        algorithm = build(mcmc_parameters=parameters)
        state, info = algorithm.step(key, state)
        return state, info.log_likelihood_increment, info.update_info.acceptance_rate

    start = blackjax.smc.tempered.init(particles)
    state, log_z, size, steps = start, 0.0, jnp.asarray(0.5), 0
    while state.tempering_param < 1:
        key, skey = jr.split(key)
        spread = jnp.var(state.particles, axis=0)
        state, increment, accepted = step(skey, state, size, spread)
        log_z += float(increment)
        size = size * jnp.exp(jnp.mean(accepted) - 0.8)
        steps += 1
    return log_z, None, {"temperatures": steps}


def blackjax_nested(name, task: Task):
    """Nested slice sampling: 500 live points, 50 replaced at once, 2 d slices."""
    import blackjax
    from blackjax.ns.utils import finalise, log_weights

    num, key = 500, jr.key(0)
    live = jax.vmap(task.from_cube)(jr.uniform(key, (num, task.dim)))
    algorithm = blackjax.nss(
        task.log_prior,
        task.log_likelihood,
        num_inner_steps=max(5, 2 * task.dim),
        num_delete=50,
    )
    state, dead = algorithm.init(live), []
    step = jax.jit(algorithm.step)
    while not state.integrator.logZ_live - state.integrator.logZ < -3:
        key, skey = jr.split(key)
        state, info = step(skey, state)
        dead.append(info)
    whole = finalise(state, dead, update_info=False)
    log_w = log_weights(jr.key(1), whole, shape=200)
    log_z = np.asarray(jax.nn.logsumexp(log_w, axis=0))
    return float(log_z.mean()), float(log_z.std()), {"iterations": len(dead)}


def numpyro_importance(name, task: Task):
    """A full-rank Gaussian guide by SVI, then 100,000 importance samples."""
    import numpyro
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoMultivariateNormal
    from numpyro.infer.util import log_density

    def model():
        base = numpyro.distributions.Uniform(0, 1).expand([task.dim]).to_event(1)
        if name in ("many-well-pair", "gaussian-mixture"):
            z = numpyro.sample("z", base)
            numpyro.factor("f", task.log_likelihood(task.from_cube(z)))
        else:
            flat = numpyro.distributions.ImproperUniform
            real = numpyro.distributions.constraints.real_vector
            z = numpyro.sample("z", flat(real, (), (task.dim,)))
            numpyro.factor("f", task.log_prior(z) + task.log_likelihood(z))

    guide = AutoMultivariateNormal(model, init_scale=0.1)
    svi = SVI(model, guide, numpyro.optim.Adam(0.01), Trace_ELBO(num_particles=16))
    params = svi.run(jr.key(0), 4000, progress_bar=False).params

    @jax.jit
    @jax.vmap
    def weight(key):
        seeded = numpyro.handlers.seed(guide, key)
        log_q, trace = log_density(seeded, (), {}, params)
        drawn = {"z": trace["z"]["value"]}
        return log_density(model, (), {}, drawn)[0] - log_q

    log_w = np.asarray(weight(jr.split(jr.key(1), 100_000)))
    log_z = np.logaddexp.reduce(log_w) - np.log(len(log_w))
    relative = np.exp(log_w - log_z)
    error = float(relative.std() / len(log_w) ** 0.5)
    return float(log_z), error, {"ess": float(len(log_w) / np.mean(relative**2))}


def dynesty(name, task: Task):
    """Static nested sampling, its defaults: 500 live points, bounds and moves auto."""
    from dynesty import NestedSampler

    likelihood, cube = jax.jit(task.log_likelihood), jax.jit(task.from_cube)
    sampler = NestedSampler(
        lambda z: float(likelihood(z)),
        lambda u: np.asarray(cube(u)),
        task.dim,
        nlive=500,
        rstate=np.random.default_rng(0),
    )
    sampler.run_nested(print_progress=False)
    found = sampler.results
    calls = int(np.sum(found.ncall))
    return float(found.logz[-1]), float(found.logzerr[-1]), {"calls": calls}


def pymc_smc(name, task: Task):
    """`pm.sample_smc`, its defaults (2,000 draws, independent Metropolis), 4 chains."""
    import pymc as pm
    import pytensor.tensor as pt

    with pm.Model():
        if name == "linear-regression":
            x, y = references.load(name).data
            w = pm.Normal("w", 0.0, 1.5, shape=5)
            pm.Normal("y", x @ w, 0.8, observed=y)
        elif name == "eight-schools":
            effects, errors = references.load(name).data
            mu, tau = pm.Normal("mu", 0.0, 5.0), pm.HalfCauchy("tau", 5.0)
            eta = pm.Normal("eta", 0.0, 1.0, shape=8)
            pm.Normal("y", mu + tau * eta, errors, observed=effects)
        elif name == "ionosphere":
            x, y = references.load(name).data
            w = pm.Normal("w", 0.0, 1.0, shape=x.shape[1])
            pm.Bernoulli("y", logit_p=x @ w, observed=y)
        elif name == "many-well-pair":
            z = pm.Uniform("z", [-4.0, -8.0], [4.0, 8.0], shape=2)
            well = -(z[0] ** 4) + 6 * z[0] ** 2 + z[0] / 2 - z[1] ** 2 / 2
            pm.Potential("f", well + np.log(8.0 * 16.0))
        else:
            means = np.random.RandomState(0).uniform(-40, 40, (40, 2))
            scale = float(np.log1p(np.exp(1.0)))
            z = pm.Uniform("z", -50.0, 50.0, shape=2)
            each = pm.logp(pm.Normal.dist(means, scale), z[None, :]).sum(axis=-1)
            value = pt.logsumexp(each) - np.log(40.0) + 2 * np.log(100.0)
            pm.Potential("f", value)
        found = pm.sample_smc(chains=4, cores=1, progressbar=False, random_seed=0)
    stages = found.sample_stats["log_marginal_likelihood"].values
    values = [float(_last_finite(row)) for row in stages.reshape(4, -1)]
    error = float(np.std(values, ddof=1) / len(values) ** 0.5)
    return float(np.mean(values)), error, {"chains": values}


def _last_finite(row):
    flat = np.concatenate([np.atleast_1d(np.asarray(x, float)) for x in row])
    return flat[np.isfinite(flat)][-1]


RIVALS = {
    "taut": taut,
    "BlackJAX tempered SMC": blackjax_smc,
    "BlackJAX nested slice sampling": blackjax_nested,
    "NumPyro SVI + importance sampling": numpyro_importance,
    "dynesty": dynesty,
    "PyMC SMC": pymc_smc,
}


def one(rival, name):
    jax.config.update("jax_enable_x64", True)  # noqa: FBT003
    task, began = TASKS[name](), time.perf_counter()
    value, error, more = RIVALS[rival](name, task)
    seconds = round(time.perf_counter() - began, 1)
    row = {"log_z": value, "claimed_error": error, "seconds": seconds}
    return {**row, "truth": task.log_z, "off": value - task.log_z, **more}


def everything():
    path = HERE / "evidence-rivals.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    load = os.getloadavg()[0]
    for name in TASKS:
        for rival in RIVALS:
            if name in rows.get(rival, {}):
                continue
            argv = [sys.executable, __file__, rival, name]
            try:
                out = subprocess.run(
                    argv, capture_output=True, text=True, timeout=LIMIT
                )
                row = json.loads(out.stdout.splitlines()[-1])
            except subprocess.TimeoutExpired:
                row = {"stopped": LIMIT}
            except (IndexError, json.JSONDecodeError):
                row = {"failed": out.stderr.strip().splitlines()[-1][:200]}
            row["load"] = round(os.getloadavg()[0], 1)
            rows.setdefault(rival, {})[name] = row
            print(name, rival, row, flush=True)
            whole = {"load_at_start": load, "limit": LIMIT, "rows": rows}
            path.write_text(json.dumps(whole, indent=2) + "\n")
            (HERE / "evidence-rivals.md").write_text(table(rows))


def table(rows):
    loads = [row["load"] for by in rows.values() for row in by.values()]
    out = [
        "Written by `python benchmarks/evidence_rivals.py`. Distance from the truth in "
        "nats (with the error that the method itself states), and seconds of the whole "
        "call with compilation. One process each, two cores; load average "
        f"{min(loads)} to {max(loads)}"
        + (" (**loaded**: no timings)." if max(loads) > 2.5 else "."),
        "",
        "| | " + " | ".join(TASKS) + " |",
        "|---|" + "---|" * len(TASKS),
    ]
    for rival, by in rows.items():
        out.append(f"| {rival} | " + " | ".join(_cell(by.get(n)) for n in TASKS) + " |")
    return "\n".join(out) + "\n"


def _cell(row):
    if row is None:
        return "not run"
    if "stopped" in row:
        return f"stopped after {row['stopped']} s"
    if "failed" in row:
        return "failed"
    error = row["claimed_error"]
    said = "" if error is None else f" (± {error:.3f})"
    return f"{row['off']:+.3f}{said}, {row['seconds']:.0f} s"


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one(*sys.argv[1:])))
    else:
        everything()
