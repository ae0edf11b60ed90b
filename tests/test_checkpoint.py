"""Checkpoints: whole or not there, exact, recognised when damaged, and nothing in them is ever executed."""

import errno
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mulligan import checkpoint


def state(value: float = 1.0) -> dict[str, Any]:
    return {
        "progress": {"round": 3, "seconds": 0.25},
        "optimizers": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}],
        "average": {"G.w": torch.full((3,), value / 2)},
    }


def write(folder: Path, round: int = 500, value: float = 1.0) -> Path:
    model = {"G.w": torch.full((3,), value), "D.w": torch.arange(6.0).reshape(2, 3)}
    return checkpoint.save(folder, model, state(value), {"round": round, "best": (1.5, "000500")})


def test_files_and_names(tmp_path: Path) -> None:
    place = write(tmp_path)
    assert place == tmp_path / "000500"
    assert sorted(p.name for p in place.iterdir()) == ["model.safetensors", "state.json", "training.pt"]
    assert os.listdir(tmp_path) == ["000500"]
    assert checkpoint.is_whole(place)
    record = json.loads((place / "state.json").read_text())
    assert record["round"] == 500
    for name in checkpoint.FILES:
        assert record["sha256"][name] == hashlib.sha256((place / name).read_bytes()).hexdigest()


def test_round_trip(tmp_path: Path) -> None:
    model, training, record = checkpoint.load(write(tmp_path, value=0.1))
    assert torch.equal(model["G.w"], torch.full((3,), 0.1))
    assert torch.equal(model["D.w"], torch.arange(6.0).reshape(2, 3))
    assert training["progress"] == state()["progress"]
    assert torch.equal(training["average"]["G.w"], torch.full((3,), 0.05))
    assert training["optimizers"][0]["param_groups"] == [{"lr": 1e-3, "params": [0]}]
    assert tuple(record["best"]) == (1.5, "000500")


def test_any_dtype_layout_and_size(tmp_path: Path) -> None:
    model = {
        "half": torch.randn(3).bfloat16(), "count": torch.tensor(7), "empty": torch.zeros(0, 4),
        "other empty": torch.zeros(0, 4), "turned": torch.arange(6.0).reshape(2, 3).T, "yes": torch.tensor(True),
        "last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), "nan": torch.tensor([float("nan")]),
    }  # fmt: skip
    back = checkpoint.load(checkpoint.save(tmp_path, model, state(), {"round": 0}))[0]
    assert back.keys() == model.keys()
    for key, value in model.items():
        assert back[key].dtype == value.dtype, key
        assert torch.equal(back[key], value) or key == "nan", key


def test_shared_weights_are_stored_once_and_come_back_under_both_names(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(50, 50), nn.Linear(50, 50)
            self.b.weight = self.a.weight

    net = Two()
    place = checkpoint.save(tmp_path, net.state_dict(), state(), {"round": 1})
    assert (place / "model.safetensors").stat().st_size < 1.5 * 4 * 50 * 50
    other = Two()
    other.load_state_dict(checkpoint.load(place)[0])
    assert torch.equal(other.a.weight, net.a.weight)
    assert other.b.weight is other.a.weight


def test_a_square_matrix_and_its_transpose_are_not_taken_for_one(tmp_path: Path) -> None:
    w = torch.arange(9.0).reshape(3, 3)
    back = checkpoint.load(checkpoint.save(tmp_path, {"w": w, "t": w.T}, state(), {"round": 1}))[0]
    assert torch.equal(back["w"], w)
    assert torch.equal(back["t"], w.T)


def test_extra_state_that_is_no_tensor(tmp_path: Path) -> None:
    extra = {"images": [torch.ones(2), torch.zeros(2)], "count": 3, "name": "pool"}
    model = {"w": torch.ones(1), "pool._extra_state": extra}
    back = checkpoint.load(checkpoint.save(tmp_path, model, state(), {"round": 1}))[0]
    assert back["pool._extra_state"]["count"] == 3
    assert torch.equal(back["pool._extra_state"]["images"][0], torch.ones(2))


# --- damage -------------------------------------------------------------------------------------------------

NAMES = ["model.safetensors", "training.pt", "state.json"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.8, 0.999])
def test_a_flipped_byte_is_recognised(tmp_path: Path, name: str, part: float) -> None:
    write(tmp_path, 100)
    file = write(tmp_path, 200) / name
    data = bytearray(file.read_bytes())
    data[int(part * len(data))] ^= 1
    file.write_bytes(data)
    assert checkpoint.newest(tmp_path) == (tmp_path / "000100", ["000200"])


def test_any_flipped_byte_of_the_record_is_recognised(tmp_path: Path) -> None:
    file = write(tmp_path) / "state.json"
    good = file.read_bytes()
    missed = []
    for i in range(len(good)):
        file.write_bytes(good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :])
        if checkpoint.is_whole(file.parent):
            missed.append(i)
    assert not missed, f"{len(missed)} of {len(good)} bytes could be flipped unnoticed"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_file_cut_short_is_recognised(tmp_path: Path, name: str, keep: int) -> None:
    write(tmp_path, 100)
    file = write(tmp_path, 200) / name
    file.write_bytes(file.read_bytes()[:keep])
    assert checkpoint.newest(tmp_path) == (tmp_path / "000100", ["000200"])


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_recognised(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).unlink()
    assert checkpoint.newest(tmp_path) == (None, ["000500"])


def test_newest_goes_by_number(tmp_path: Path) -> None:
    for n in (999_999, 1_000_000, 5):
        write(tmp_path, n)
    assert checkpoint.newest(tmp_path) == (tmp_path / "1000000", [])
    assert checkpoint.newest(tmp_path / "none") == (None, [])


@pytest.mark.filterwarnings("ignore")  # torch warns of the old format before it refuses it
def test_no_code_of_a_stranger_is_run(tmp_path: Path) -> None:
    """Not even from a checkpoint whose hashes were made to agree."""
    told = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return os.mkdir, (str(told),)

    place = write(tmp_path / "run")
    for save in (lambda file: torch.save({"extra": {}, "x": Evil()}, file),
                 lambda file: file.write_bytes(pickle.dumps(Evil()))):  # fmt: skip
        save(place / "training.pt")
        with pytest.raises(pickle.UnpicklingError):
            checkpoint.load(place)
        assert not told.exists()


# --- a full disk --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("culprit", ["fsync", "rename"])
def test_an_error_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, culprit: str) -> None:
    write(tmp_path, 100)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync") if culprit == "fsync" else (Path, "rename")), full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, 200)
    assert os.listdir(tmp_path) == ["000100"]
    assert checkpoint.newest(tmp_path) == (tmp_path / "000100", [])


@pytest.mark.parametrize("megabytes", [3.0, 1.9], ids=["weights do not fit", "optimizers do not fit"])
def test_a_disk_that_is_really_full(small_disk: Path, megabytes: float) -> None:
    write(small_disk, 100)
    big = torch.randn(int(megabytes * 2**18))
    with pytest.raises(OSError, match="No space") as error:
        checkpoint.save(small_disk, {"w": big}, {**state(), "optimizers": [{"m": big}]}, {"round": 200})
    assert error.value.errno == errno.ENOSPC
    assert os.listdir(small_disk) == ["000100"]
    assert checkpoint.newest(small_disk) == (small_disk / "000100", [])
    write(small_disk, 300)


# --- what stays ---------------------------------------------------------------------------------------------


def test_prune_keeps_the_newest_two_and_the_best(tmp_path: Path) -> None:
    for n in (10, 20, 30, 40, 50):
        write(tmp_path, n)
    (tmp_path / ".000060.123").mkdir()  # a killed process left it
    checkpoint.prune(tmp_path, ["000020"])
    assert sorted(os.listdir(tmp_path)) == ["000020", "000040", "000050"]
    checkpoint.prune(tmp_path, [])
    assert sorted(os.listdir(tmp_path)) == ["000040", "000050"]


def test_prune_reads_not_again_what_was_just_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, saved = (write(tmp_path, n) for n in (10, 20, 30))
    read: list[str] = []
    sha256 = checkpoint.sha256
    monkeypatch.setattr(checkpoint, "sha256", lambda file: read.append(file.parent.name) or sha256(file))
    checkpoint.prune(tmp_path, [], saved)
    assert set(read) == {"000020"}
    assert sorted(os.listdir(tmp_path)) == ["000020", "000030"]


def test_the_same_round_again_replaces(tmp_path: Path) -> None:
    write(tmp_path, 500, 1.0)
    place = write(tmp_path, 500, 2.0)
    assert checkpoint.load(place)[0]["G.w"][0].item() == 2.0
    assert os.listdir(tmp_path) == ["000500"]
