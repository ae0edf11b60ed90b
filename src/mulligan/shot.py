"""A shot at a run: from round 0, or from its newest checkpoint, to the end or to a defeat.

`Shot.play` is read top to bottom: while a stage lasts, play a round; once in a while log, look, save.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mulligan import checkpoint, runtime
from mulligan.clock import Budget, Clock, Due
from mulligan.config import Run
from mulligan.display import Display
from mulligan.game import Stage
from mulligan.look import Look
from mulligan.loop import Progress
from mulligan.model import Model, build
from mulligan.plan import Plan, told_to_start_from
from mulligan.referee.verdict import Verdict
from mulligan.referee.watch import Referee
from mulligan.retake import forget_lost, is_over
from mulligan.rundir import RunDir
from mulligan.stopping import Plateau

Json = dict[str, Any]


class Interrupted(Exception):  # noqa: N818, it is no error
    """Ctrl-C or SIGTERM: the run was saved and can be resumed.

    Attributes:
        run: its directory.
    """

    def __init__(self, run: Path) -> None:
        super().__init__(str(run))
        self.run = run


class Defeat(Exception):  # noqa: N818, a game is lost
    """The referee's verdict ends a shot."""

    def __init__(self, verdict: Verdict, updates: dict[str, float], round: int) -> None:
        super().__init__(str(verdict))
        self.verdict, self.updates, self.round = verdict, updates, round


class Shot:
    """One shot.

    Args:
        plan: of the training.
        rundir: of the run.
        display: that shows it.
        interrupted: Ctrl-C fills it.
        resuming: whether it begins at the newest checkpoint.
    """

    def __init__(
        self, plan: Plan, rundir: RunDir, display: Display, interrupted: list[float], *, resuming: bool
    ) -> None:
        self.plan, self.rundir, self.display, self.interrupted = plan, rundir, display, interrupted
        self.run, self.runtime, self.loop = plan.run, plan.runtime, plan.loop
        # of a second system: going through the stages shapes networks
        self.shares = [stage.share for stage in build(plan.config).stages()]
        began = rundir.first_config["run"]
        self.referee = Referee(plan.system, plan.source, self.loop, self.run.model_dump(), began)
        self.look = Look(rundir, plan.system, plan.source, self.loop, self.referee)
        self.resuming = resuming
        self.lost: dict[str, bool] = {}  # by the name of a verdict, whether it ends the shot

    def play(self) -> Model:
        """To the end.

        Raises:
            Defeat: the game is lost.
            Interrupted: Ctrl-C.
        """
        saved = self._take_up() if self.resuming else None
        runtime.meet()  # rank 0 plays, and removes checkpoints, when all have read theirs
        weights = told_to_start_from(self.plan) if saved is None and self.plan.config.get("from") else None
        if not self.resuming:
            self._begin()
        start = self.loop.progress.stage
        clock = Clock(self.loop.progress, self.run)
        for number, stage in enumerate(self._stages()):
            if number < start:
                continue
            self.loop.enter(number, stage, saved=saved if number == start else None, start=weights)
            self._play_stage(number, clock)
        self._end()
        runtime.meet()  # the other ranks wait until rank 0 has saved
        return Model.load(self.rundir.path)

    def _stages(self) -> Iterator[Stage]:
        stages = self.plan.system.stages()
        for number in range(len(self.shares)):
            self.loop.seed(number)  # for networks that a stage adds
            yield next(stages)

    def _play_stage(self, number: int, clock: Clock) -> None:
        budget, last = Budget.of(self.run, self.shares, number), number == len(self.shares) - 1
        if self.loop.progress.round == 0:
            self.look.take(save=False)
        if self.run.stop == "auto" and last and self.look.plateau is None:
            self.look.plateau, self.look.best = Plateau(), None  # what an earlier stage reached was another game
        clock.resume()
        while not (due := self._due(clock, budget, last)) & Due.OVER:
            if due & Due.LOST:
                raise self._defeat()
            self._pause(due)
            if due & (Due.LOOK | Due.STOP):
                clock.resume()
            if due & Due.STOP:
                runtime.meet()  # no rank leaves before rank 0 has saved
                raise Interrupted(self.rundir.path)
            with self._noting_nan():
                self.loop.play()
        self._pause(Due.LOOK)
        if self.runtime.agree(int(self._is_lost())):
            raise self._defeat()

    def _pause(self, due: Due) -> None:
        """Once in a while: look and save, but never a game that is lost to NaN; and log."""
        looking = bool(due & (Due.LOOK | Due.STOP))
        with self._noting_nan():
            if looking:
                self.look.take()
            if looking or due & Due.LOG:
                self._log(at_once=looking)

    # --- what ends it ---------------------------------------------------------------------------------------

    def _due(self, clock: Clock, budget: Budget, last: bool) -> Due:
        """What is to be done before the next round, the same on all ranks."""
        due = Due.STOP if self.interrupted else Due.NOTHING
        if self._is_lost():
            due |= Due.LOST
        plateau = self.look.plateau
        if last and plateau is not None and plateau.over(self.loop.progress.seconds):
            due |= Due.OVER
        return Due(self.runtime.agree(clock.due(budget, due)))

    def _is_lost(self) -> bool:
        """Whether the referee's verdict ends the shot; asked each round, so answered once for each."""
        name = self.referee.verdict.name
        if name not in self.lost:
            verdict, updates = self.referee.verdict, self.referee.updates
            self.lost[name] = is_over(self.rundir, self.plan.system, verdict, updates, self.run.mulligans)
        return self.lost[name]

    def _defeat(self) -> Defeat:
        return Defeat(self.referee.verdict, self.referee.updates, self.loop.progress.round)

    @contextmanager
    def _noting_nan(self) -> Iterator[None]:
        """A number that is not finite ends what is inside, with a line of the log that says where it came from.

        The shot goes on until all ranks have agreed that it is over.
        """
        try:
            yield
        except FloatingPointError as error:
            p, found = self.loop.progress, {name: getattr(error, name, "") for name in ("player", "term", "where")}
            line: Json = {"round": p.round, "images": p.images, "seconds": round(p.seconds, 3)}
            line["not_finite"] = {"round": p.round, "text": str(error), **found}
            self.rundir.log(**line)
            self._tell(line)

    # --- what is said of it ---------------------------------------------------------------------------------

    def _log(self, *, at_once: bool) -> None:
        """Write a line of the log, with the vital signs if there is time for them, and tell of it."""
        if self.runtime.rank == 0 and self.loop.terms:
            self._tell(self.look.log(self.loop.values(), **self.referee.look(at_once=at_once)))

    def _tell(self, line: Json) -> None:
        """What the referee says to a line of the log, on record and on the display, and the line."""
        for verdict in self.referee.hear(line):
            self.rundir.event("verdict", str(verdict), round=line["round"], verdict=verdict.to_json())
            self.display.say(f"round {line['round']:,}: {verdict}")
        if "terms" in line:
            self.display.show({**line, "verdict": self.referee.verdict.name})

    def _begin(self) -> None:
        if self.runtime.rank > 0:
            return
        plan = self.plan
        self.rundir.event("start", f"{plan.config['system']} began to train on {plan.source.name}", round=0)
        if plan.config.get("auto"):
            self.display.say(plan.config["auto"])
        for note in plan.source.notes:
            self.display.say(note)
            self.rundir.event("warning", note, round=0)

    def _end(self) -> None:
        loop, plateau = self.loop, self.look.plateau
        if self.runtime.rank > 0:
            return
        if not loop.terms:  # not a round was played
            self.display.say(f"{self.rundir.path} is finished; give it more with --minutes or --rounds")
            return
        text = f"finished after {loop.progress.round:,} rounds"
        early = plateau is not None and plateau.over(loop.progress.seconds)
        if plateau is not None and early:
            text += f": FD has not improved beyond its noise (±{plateau.noise:.2g}) since {plateau.least:.4g}"
            text += f"; kept: round {self.look.keep_the_best():,}"
            self.display.say(text)
        self.rundir.event("finish", text, round=loop.progress.round, early=early)

    # --- going on -------------------------------------------------------------------------------------------

    def _take_up(self) -> tuple[Json, Json] | None:
        """The newest whole checkpoint's (model, state), with the loop's progress set to it; None if there is none."""
        rundir, first = self.rundir, self.runtime.rank == 0
        ended = bool(self.runtime.agree(int(first and rundir.stopped_itself)))
        if first:
            forget_lost(rundir)
        newest, damaged = checkpoint.newest(rundir.checkpoints) if first else (None, [])
        round = self.runtime.agree(int(newest.name) if newest is not None else -1)
        for name in damaged:
            text = f"checkpoint {name} is damaged and was passed over"
            self.display.say(f"warning: {text}")
            rundir.event("warning", text)
        if round < 0:
            if first:
                rundir.forget_after(-1)
                if not rundir.mulligans:
                    self.display.say(f"{rundir.path} has no checkpoint yet: starting at round 0")
                rundir.event("resume", "begun anew, for there was no sound checkpoint", round=0)
            return None
        model, state, record = checkpoint.load(checkpoint.of_round(rundir.checkpoints, round))
        self.loop.progress = Progress(**state["progress"])
        self.look.take_up(record)
        if self.look.plateau is not None and ended:
            self.look.plateau.end()
        if first:
            self._say_resumed(record, ended)
        return self._with_new_options(model, record), state

    def _with_new_options(self, model: Json, record: Json) -> Json:
        """A checkpoint's weights as the options that changed since have them: not the strength of augmentation."""
        since = self.rundir.mulligans[record.get("mulligans", 0) :]
        if not any("augment" in taken["changes"] for taken in since):
            return model
        fresh = {k: x for k, x in self.plan.system.state_dict().items() if k.startswith("augment.")}
        return {**{k: x for k, x in model.items() if not k.startswith("augment.")}, **fresh}

    def _say_resumed(self, record: Json, ended: bool) -> None:
        progress = self.loop.progress
        text = f"resumed at round {progress.round:,}"
        if record["threads"] != torch.get_num_threads():
            text += f", with {torch.get_num_threads()} threads instead of {record['threads']}: not bit for bit"
        self.rundir.forget_after(progress.round)
        self.referee.take_up(self.rundir.read("log"))
        if not _is_finished(progress, self.run) and not ended:
            self.display.say(text)
            self.rundir.event("resume", text, round=progress.round)


def _is_finished(progress: Progress, run: Run) -> bool:
    whole = Budget(run.rounds, None if run.minutes is None else 60 * run.minutes)
    return whole.spent(progress)
