"""A trained model read back: the same samples for the same seed, from whole checkpoints of the right data only."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from mulligan import checkpoint
from mulligan.model import Model


def test_the_same_seed_the_same_samples(density_run: Path) -> None:
    a, b = Model.load(density_run), Model.load(str(density_run))
    assert torch.equal(a.generate(10, seed=3)["x"], b.generate(10, seed=3)["x"])
    assert not torch.equal(a.generate(10, seed=3)["x"], a.generate(10, seed=4)["x"])
    assert a.hash == b.hash
    assert a.round == 6


@pytest.mark.parametrize("n", [1, 255, 256, 257, 600])
def test_any_number(density_run: Path, n: int) -> None:
    x = Model.load(density_run).generate(n)["x"]
    assert x.shape == (n, 1)
    assert x.dtype == torch.float32
    assert x.device.type == "cpu"


def test_images(picture_run: Path) -> None:
    x = Model.load(picture_run).generate(3)["x"]
    assert x.shape == (3, 3, 16, 16)
    assert x.is_contiguous()
    assert x.abs().max() <= 1


def test_given_latents(density_run: Path) -> None:
    model = Model.load(density_run)
    z = model.system.latent(4)
    assert torch.equal(model.generate(4, z=z)["x"], model.generate(4, seed=9, z=z)["x"])


def test_generating_leaves_the_random_state_alone(density_run: Path) -> None:
    model = Model.load(density_run)
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    model.generate(8)
    assert torch.equal(torch.rand(1), first)


def test_it_learns_nothing_and_is_in_eval_mode(picture_run: Path) -> None:
    system = Model.load(picture_run).system
    assert not any(p.requires_grad for p in system.parameters())
    assert not any(m.training for m in system.modules())


def test_the_newest_whole_checkpoint_counts(own_run: Path) -> None:
    file = own_run / "checkpoints" / "000006" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    model = Model.load(own_run)
    assert model.round == 3
    (own_run / "checkpoints" / "000003" / "state.json").write_text("{")
    with pytest.raises(ValueError, match=r"checkpoints 000006, 000003 are damaged"):
        Model.load(own_run)
    shutil.rmtree(own_run / "checkpoints")
    with pytest.raises(ValueError, match="no checkpoint yet"):
        Model.load(own_run)


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no run"):
        Model.load(tmp_path / "none")
    with pytest.raises(ValueError, match="is not a run"):
        Model.load(tmp_path)


def test_config_that_is_damaged_is_named(own_run: Path) -> None:
    file = own_run / "config.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(ValueError, match=r"config\.json"):
        Model.load(own_run)


def test_weights_of_another_shape_are_refused(own_run: Path) -> None:
    """Not loaded in part, and not by a traceback."""
    file = own_run / "config.json"
    config = json.loads(file.read_text())
    config["config"]["g_width"] = 9
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="weights"):
        Model.load(own_run)


def test_weights_that_are_missing_are_refused(own_run: Path) -> None:
    place = own_run / "checkpoints" / "000006"
    model, state, record = checkpoint.load(place)
    checkpoint.save(place.parent, {k: v for k, v in model.items() if not k.startswith("G.0")},
                    {**state, "average": {}, "extra": {}}, record)  # fmt: skip
    with pytest.raises(ValueError, match="weights"):
        Model.load(own_run)


def test_the_source_is_opened_again(density_run: Path, picture_run: Path, tmp_path: Path) -> None:
    assert Model.load(density_run).source().name == "density"
    assert Model.load(picture_run).source().signals["x"].shape == (3, 16, 16)


def test_a_source_that_changed_is_refused(picture_run: Path, pictures: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(picture_run, tmp_path / "run"))
    data = Path(shutil.copytree(pictures, tmp_path / "data"))
    config = json.loads((run / "config.json").read_text())
    config["data"]["data"] = str(data)
    (run / "config.json").write_text(json.dumps(config))
    Model.load(run).source()
    next(data.rglob("*.png")).unlink()
    with pytest.raises(ValueError, match="no longer the data"):
        Model.load(run).source()


def test_what_every_file_says_of_itself(density_run: Path) -> None:
    model = Model.load(density_run)
    said = model.provenance(7)
    assert said["synthetic"] is True
    assert said["seed"] == 7
    assert said["model"] == model.hash
    assert said["system"] == "gan"
    assert "CC0" in said["credit"]


def test_loading_draws_no_weights(picture_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be replaced at once; and what is loaded is what was saved, to the bit."""
    from mulligan import model as module

    before = Model.load(picture_run).system.state_dict()
    monkeypatch.setattr(module, "DRAWS", set())
    drawn = Model.load(picture_run).system.state_dict()
    assert all(torch.equal(before[k], drawn[k]) for k in drawn)
    monkeypatch.undo()
    with module.undrawn():
        layer = torch.nn.Linear(3, 3)
        held = layer.weight.detach().clone()
        torch.nn.init.normal_(layer.weight)
        assert torch.equal(layer.weight, held)
