"""`taut evidence`: a problem from a file, the list, and misuse."""

import json

import pytest

from taut.cli import main

FILE = """
import jax.numpy as jnp
import jax.random as jr
import numpyro.distributions as npd
from taut.evidence import Problem

answer = 42

def log_joint(p):
    return jnp.sum(npd.Normal(0.0, 1.0).log_prob(p["x"])) - 1.5

def model():
    exact = lambda key: {"x": jr.normal(key, (2,))}
    return Problem(log_joint, {"x": jnp.zeros(2)}, exact=exact)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_a_problem_from_a_file(file, tmp_path, capsys):
    out = tmp_path / "out"
    argv = ["evidence", f"{file}:model", "--budget", "3", "--out", str(out)]
    assert main([*argv, "--quiet", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((out / "evidence.json").read_text())
    assert record["verdict"]["word"] == "certified"
    assert record["estimate"]["value"] == pytest.approx(-1.5, abs=0.01)
    assert (out / "evidence.svg").read_text().startswith("<svg")


def test_the_list_names_every_problem(capsys):
    assert main(["evidence", "--list", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert known["many-well"]["log_z"] == pytest.approx(164.695675313)
    assert main(["evidence", "--list"]) == 0
    assert "eight-schools" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (None, "say which problem"),
        ("eight-school", "eight-schools"),
        ("none.py:model", "no file"),
        ("{file}:modle", "model"),
        ("{file}:answer", "int"),
        ("{file}", "FILE.py:NAME"),
    ],
)
def test_misuse(file, name, words, capsys):
    argv = [] if name is None else [name.format(file=file)]
    assert main(["evidence", *argv, "--quiet"]) == 2
    assert words in capsys.readouterr().err
