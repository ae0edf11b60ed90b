"""Two processes that play together: equal to each other, and to one that plays both halves of each batch."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import CASES, FP32, TINY_GAN, bare_loop, entered, processes, tiny_system
from faulty import SYSTEM
from mulligan import checkpoint
from mulligan.runtime import Runtime

ROUNDS = 4
EQUAL = [case for case in CASES if case[0] in ("dcgan", "gan", "r3gan")]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def options(name: str) -> dict[str, Any]:
    # by double backward: finite differences draw one direction a sample, the same in both, but float32 divides by STEP
    return {"penalty": "exact"} if name == "r3gan" else {}


def rank(number: int, world: int, port: int, folder: Path) -> None:
    """One process's part: every case, its parameters written to a file."""
    os.environ.update(
        RANK=str(number), WORLD_SIZE=str(world), LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    runtime = Runtime.start("cpu", "fp32")
    for name, kind in CASES:
        torch.manual_seed(number)
        system = tiny_system(name, kind, **options(name))
        if number:
            for p in system.parameters():
                p.data.add_(1)  # ranks may begin unlike: rank 0's weights count
        loop = entered(bare_loop(system, runtime=runtime))
        for _ in range(ROUNDS):
            loop.play()
        torch.save(dict(system.named_parameters()), folder / f"{name}-{kind}-{number}.pt")
        assert runtime.agree(10 + number) == 10
        assert runtime.least(0.5 + number) == 0.5
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    port = free_port()
    both = [processes().Process(target=rank, args=(i, 2, port, folder)) for i in range(2)]  # type: ignore[attr-defined]
    for process in both:
        process.start()
    for process in both:
        process.join(100)
    stuck = [process for process in both if process.is_alive()]
    for process in stuck:
        process.kill()
    assert not stuck, "the ranks hang"
    assert [process.exitcode for process in both] == [0, 0]
    return folder


def weights(folder: Path, name: str, kind: str, number: int) -> dict[str, torch.Tensor]:
    return dict(torch.load(folder / f"{name}-{kind}-{number}.pt", weights_only=True))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "kind"), CASES, ids=["-".join(c) for c in CASES])
def test_ranks_equal_each_other(played: Path, name: str, kind: str) -> None:
    a, b = (weights(played, name, kind, number) for number in range(2))
    assert [k for k in a if not torch.equal(a[k], b[k])] == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "kind"), EQUAL, ids=["-".join(c) for c in EQUAL])
def test_two_ranks_equal_one_process_with_two_micro_batches(played: Path, name: str, kind: str) -> None:
    loop = entered(bare_loop(tiny_system(name, kind, **options(name)), runtime=FP32, micro_batches=2))
    for _ in range(ROUNDS):
        loop.play()
    one, two = dict(loop.system.named_parameters()), weights(played, name, kind, 0)
    start = dict(tiny_system(name, kind, **options(name)).named_parameters())
    assert any(not torch.equal(one[k], start[k]) for k in one)
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-5, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}")


def torchrun(*words: object, ranks: int = 2) -> subprocess.CompletedProcess[str]:
    command = shutil.which("mulligan", path=Path(sys.executable).parent)
    assert command is not None, "the package is not installed"
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(ranks),
        "--master-port",
        str(free_port()),
    ]
    return subprocess.run([*line, command, *map(str, words)], capture_output=True, text=True, timeout=110)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_torchrun_plays_the_same_command(tmp_path: Path) -> None:
    """One run directory, one JSON object, one "finish"; and a resume with fewer ranks, which all take up."""
    run = tmp_path / "run"
    options_ = ["--data", "ring", "--precision", "fp32", "--look-every", "4", "--json", *TINY_GAN]
    done = torchrun("train", "gan", "--rounds", "8", "--out", run, *options_, ranks=4)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["round"] == 8
    again = torchrun("train", "--resume", run, "--rounds", "12", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["round"] == 12
    kinds = [json.loads(line)["kind"] for line in (run / "events.jsonl").read_text().splitlines()]
    assert kinds.count("resume") == 1
    assert checkpoint.newest(run / "checkpoints")[0] == run / "checkpoints" / "000012"
    assert "4 ranks" in json.loads((run / "config.json").read_text())["machine"]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("once", [True, False])
def test_ranks_agree_on_a_game_that_is_lost(tmp_path: Path, once: bool) -> None:
    """Rank 0 alone sees a NaN: both go back, or both end, and neither waits for the other."""
    file, run = tmp_path / "faulty.py", tmp_path / "run"
    file.write_text(SYSTEM)
    words = ["--data", "ring", "--precision", "fp32", "--rounds", "12", "--look-every", "3"]
    done = torchrun("train", file, *words, *(["--once"] if once else []), "--out", run)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    taken = [event for event in events if event["kind"] == "mulligan"]
    assert [event["verdict"] for event in taken] == ["not finite"] * (1 if once else 3)
    assert (done.returncode == 0) == once, done.stderr
    assert (run / "report.html").exists()
    assert done.stderr.count("mulligan: ") == (1 if once else 2), done.stderr  # what is expected, and that it is lost
    assert "rank 0 says why" not in done.stderr
    assert events[-1]["kind"] == ("finish" if once else "lost")
