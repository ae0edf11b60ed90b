"""examples/minimal.py: short, plain torch, and it finds the modes."""

import ast
import runpy
import sys
from pathlib import Path

import pytest
import torch

MINIMAL = Path(__file__).parent.parent / "examples" / "minimal.py"


def test_it_has_at_most_80_lines_of_plain_torch():
    text = MINIMAL.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) <= {"torch", "numpy"}


def test_it_finds_the_modes_and_saves(tmp_path, capsys):
    weights = tmp_path / "weights.pt"
    example = runpy.run_path(str(MINIMAL))
    assert example["ROUNDS"] >= 1000
    example["main"].__globals__["ROUNDS"] = 500  # enough for the modes; the others make them narrow
    with torch.random.fork_rng():
        found = example["main"](str(weights))
    assert found >= 7
    assert capsys.readouterr().out.startswith(f"{found} of 8 modes")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]
    saved = torch.load(weights, weights_only=True)
    G = example["mlp"](example["Z"], 2)
    G.load_state_dict(saved)
    assert G(torch.zeros(1, example["Z"])).shape == (1, 2)


def test_r1_and_r2_of_a_linear_d():
    """For D(x) = w·x both are |w|², so a steep D pays γ |w|² beyond the game's own loss."""
    example = runpy.run_path(str(MINIMAL))
    G, D = torch.nn.Linear(8, 2), torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        D.weight.copy_(torch.tensor([[3.0, 4.0]]))
    losses = []
    for gamma in (0.0, 1.0):
        example["d_loss"].__globals__["GAMMA"] = gamma
        with torch.random.fork_rng():
            torch.manual_seed(0)
            losses.append(example["d_loss"](G, D).item())
    assert losses[1] - losses[0] == pytest.approx(25.0, rel=1e-5)
