"""The docs: tables as the code has them, links that lead somewhere, commands and code that work."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from mulligan import cli, registry
from mulligan.options import parse

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def load_generate():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generate()


def blocks(page, language):
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


# --- tables ------------------------------------------------------------------------------------------------


def test_tables_are_up_to_date(capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_every_verb_has_its_options():
    assert set(generate.VERBS) == set(cli.VERBS)


def test_every_page_of_a_system_or_verb_has_all_its_tables():
    for page in [DOCS / name for name in generate.wanted()]:
        shown = {name for _, name, _ in generate.BLOCK.findall(page.read_text(encoding="utf-8"))}
        free = {"sources"}
        if page.parent.name == "systems" and generate.measured(page.stem) == generate.NOT_YET:
            free.add("measured")  # what makes images from images stands in benchmarks of its own
        assert set(generate.tables_of(page)) - free <= shown, page.name


def test_a_stale_table_is_named_and_mended(tmp_path, monkeypatch, capsys):
    page = tmp_path / "index.md"
    page.write_text("before\n<!-- generated: sources -->\n| old |\n<!-- end -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "wanted", list)
    assert generate.main(["--check"]) == 1
    assert "index.md is out of date" in capsys.readouterr().err
    assert "| old |" in page.read_text(encoding="utf-8")
    assert generate.main([]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- generated: sources -->\n| Name |")
    assert text.endswith("|\n<!-- end -->\nafter\n")
    assert generate.main(["--check"]) == 0


def test_a_missing_page_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "docs/systems/gan.md is missing" in capsys.readouterr().err


# --- links and commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def commands():
    """(page, words) of every mulligan command in a block of shell."""
    lines = [(page, line) for page in PAGES for text in blocks(page, "sh") for line in text.splitlines()]
    return [(page.stem, line) for page, line in lines if line.startswith("mulligan ")]


@pytest.mark.parametrize(("page", "line"), commands())
def test_printed_commands_can_be_parsed(page, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_lsgan(tmp_path)
    verb, *words = shlex.split(line)[1:]
    assert verb in cli.VERBS
    tables = generate.VERBS[verb]
    if verb == "data":
        tables = {"only": tables[words.pop(0)]}
    models = [model for table in tables.values() for model in table]
    if verb == "train" and words[0] in (*registry.names(), "./lsgan.py"):
        models.append(registry.load(words[0]).Config)
    if "--help" not in words:
        parse(words, models, prog=verb, description="")


def test_there_are_commands_to_parse():
    assert len(commands()) > 20


# --- code --------------------------------------------------------------------------------------------------


def lsgan():
    """The file that adding-a-system.md shows."""
    return blocks(DOCS / "adding-a-system.md", "python")[0]


def save_lsgan(folder):
    (folder / "lsgan.py").write_text(lsgan(), encoding="utf-8")


def test_your_own_system_trains_resumes_and_samples(tmp_path, monkeypatch, capsys):
    assert len(lsgan().splitlines()) <= 40
    monkeypatch.chdir(tmp_path)
    save_lsgan(tmp_path)
    assert cli.run(["train", "./lsgan.py", "--data", "ring", "--rounds", "20", "--width", "16"]) == 0
    run = Path("runs/lsgan-ring")
    assert json.loads((run / "config.json").read_text())["config"]["width"] == 16
    assert cli.run(["train", "--resume", str(run), "--rounds", "30"]) == 0
    assert (run / "checkpoints" / "000030").is_dir()
    assert cli.run(["sample", str(run), "-n", "50", "-o", "points.csv"]) == 0
    lines = [line for line in Path("points.csv").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 51
    capsys.readouterr()
    assert cli.run(["train", "./lsgan.py", "--data", "mnist", "--rounds", "1"]) == 2
    assert "needs x" in capsys.readouterr().err


def test_its_tiny_form(tmp_path):
    tiny = blocks(DOCS / "adding-a-system.md", "python")[1]
    text = lsgan().replace("\n\n\nclass LSGAN", f"\n\n{tiny}\n\nclass LSGAN")
    (tmp_path / "lsgan.py").write_text(text, encoding="utf-8")
    assert registry.load_file(tmp_path / "lsgan.py").Config.tiny().width == 8


def test_the_python_page_runs(tmp_path, monkeypatch, capsys):
    """With fewer rounds and samples than printed."""
    monkeypatch.chdir(tmp_path)
    fewer = {"rounds=200": "rounds=3", "rounds=300": "rounds=4", "n=2000": "n=200"}
    scope: dict[str, object] = {}
    for text in blocks(DOCS / "python.md", "python"):
        for printed, less in fewer.items():
            text = text.replace(printed, less)
        exec(compile(text, "python.md", "exec"), scope)
    assert (tmp_path / "runs/py/report.html").is_file()
    assert "modes of 25" in capsys.readouterr().out
