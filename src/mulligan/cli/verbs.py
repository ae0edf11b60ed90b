"""The table of verbs: a new one is a function in a file of this package and a line here.

The overview, the docs and the tests are made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mulligan.cli.apply import apply
from mulligan.cli.data import data
from mulligan.cli.demo import demo
from mulligan.cli.diagnose import diagnose
from mulligan.cli.evaluate import compare, evaluate
from mulligan.cli.latent import arithmetic, edit, mix, project
from mulligan.cli.progress import progress
from mulligan.cli.sample import sample, walk
from mulligan.cli.systems import systems
from mulligan.cli.train import train


class Verb(NamedTuple):
    """One verb.

    Attributes:
        play: the function that its words are handed to; it has the verb's name and returns the exit status.
        usage: what follows its name, in the overview.
        about: one line for the overview.
    """

    play: Callable[[list[str]], int]
    usage: str
    about: str


VERBS = {verb.play.__name__: verb for verb in (
    Verb(demo, "", "train on the embedded digits for three minutes, judge, report"),
    Verb(systems, "", "the systems, what each needs and makes"),
    Verb(data, "list | get NAME | check DATA", "data: a built-in name, a folder of images, a .npy, .npz or .csv file"),
    Verb(train, "SYSTEM --data DATA", "train; SYSTEM may be auto: what measurement found best for the data"),
    Verb(sample, "RUN -n 64 -o digits.png", "generate: a .png grid, a folder, .npz, .csv or a .gif walk"),
    Verb(apply, "RUN INPUT ... -o OUT", "images from images: pictures, folders, videos through a translating system"),
    Verb(evaluate, "RUN", "judge a run against its data, each number beside its floor"),
    Verb(diagnose, "RUN|LOG", "what happened in a training, in words; also of another library's CSV or JSON lines"),
    Verb(compare, "RUN RUN ...", "the numbers of several runs side by side"),
    Verb(progress, "-o runs/progress", "the lecture's figure: GANs of several years, equal data and seconds"),
    Verb(walk, "RUN -o walk.gif", "from latent to latent"),
    Verb(project, "RUN IMAGE -o found.png", "find a picture in the latent space"),
    Verb(edit, 'RUN IMAGE --set "glasses=1"', "change tags of a picture or a sample, and keep the rest"),
    Verb(arithmetic, 'RUN "3 - 7 + 12"', "add and subtract samples, or the means of tags"),
    Verb(mix, "RUN -o mix.png", "coarse features of one sample, fine ones of another (stylegan2)"),
)}  # fmt: skip
HELP = """mulligan trains generative adversarial networks on your own data.

{verbs}

`mulligan VERB --help` explains each. RUN is a run's directory, or digits, a model that ships with mulligan.
"""


def overview() -> str:
    """What `mulligan --help` prints."""
    commands = {f"mulligan {name} {verb.usage}".rstrip(): verb.about for name, verb in VERBS.items()}
    width = max(map(len, commands))
    return HELP.format(verbs="\n".join(f"  {command:{width}}  {about}" for command, about in commands.items()))
