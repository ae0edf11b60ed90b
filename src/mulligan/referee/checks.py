"""From a history to a verdict: one function a finding, pure, in the order in which they explain each other.

A finding names its evidence and has to last: see `History.lasting`. Thresholds are constants here, tuned by replaying
one half of the traces of benchmarks/sabotage.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mulligan.referee import verdict as v
from mulligan.referee.history import TICKS, History, Moment, above, below, median
from mulligan.referee.verdict import ALL_WELL, Verdict

NEAR = 0.12  # of the distance between real samples: what is made looks like the data
FAR = 0.3  # of the distance between real samples: what is made looks like nothing in the data
SAME = 0.1  # of real diversity: all samples are one
ONE_KIND = 0.2  # of real diversity: they are of one kind
GONE = 1 / 3  # of the modes
KNOWS = 0.97  # AUC: D tells nearly all apart
GUESSES = 0.6  # AUC: it hardly does
IMPROVES = 0.1  # of the distance, or of real diversity, from one half of what is looked at to the other
SIGMAS, EARLY = 2.0, 0.05  # by chance; of the budget, that a trend is told from
FIXED, TIMID, HASTY = 1e-9, 1e-4, 3.0  # of a weight, that a step moves it: none learns, hardly one does, all is lost
REMEMBERS = 0.85  # AUC of training data against unseen data
COPIED = 0.4  # of the distance at which unseen real data lie from training data
MOVES = 0.01  # of real diversity
SAYS = 0.2  # of the way from chance to what real data reach
READS = 0.3  # more than chance: labels that can be read from small copies at all
FOLLOWS = 0.02  # more of the samples follow in one half of what is looked at than in the other
GROWN = 2.5  # times the least distance so far
RISES, HIGH = 1.3, 50.0  # times, from third to third of what is looked at; and how far D's logits are apart then
SWINGS = 0.95  # of what samples that go from kind to kind at random would
WAITS = 0.5  # of the time
YET, LATE = 0.1, 0.2  # of the budget: what began may go on for that long, what has been so all along
ALIKE = 0.8  # of the first distance: nothing was gained
YOUNG = 10_000  # images: a game that has seen fewer has not gone anywhere yet, wrong or right


def judge(history: History) -> Verdict:
    """The first finding that holds, or that all is well."""
    if history.ended is not None:
        return not_finite(history.ended)
    if not history.moments:
        return ALL_WELL
    found = (check(history) for check in (CHECKS if history.is_game and history.now.images >= YOUNG else AT_ANY_AGE))
    return next((verdict for verdict in found if verdict is not None), ALL_WELL)


def not_finite(ended: Mapping[str, Any]) -> Verdict:
    """Of the line in which the loop says what stopped being finite."""
    advice = "A number grew beyond what the computer can hold; a smaller learning rate or fp32 is the usual mend."
    in_data = str(ended.get("where", "")).startswith("the data")
    if in_data:
        advice = "Your data hold numbers that are not finite: look for damaged files and divisions by zero."
    return Verdict(
        v.NOT_FINITE, f"{ended['text']}.", advice, {}, ended["round"], ended.get("player", ""), mends=not in_data
    )


# --- who does not learn ----------------------------------------------------------------------------------------


def frozen(h: History) -> Verdict | None:
    for player in h.players:
        since = h.lasting(below(f"update.{player}", FIXED))
        if since:
            text = f"{player} does not learn: its steps change its weights by less than a billionth."
            advice = "Look at its learning rate, and whether its loss depends on it."
            return _found(h, v.STALLED, since, text, advice, (f"update.{player}",), player)
    return None


def timid(h: History) -> Verdict | None:
    """A player whose steps are too small to get anywhere within the budget."""
    for player in h.players:
        crawls = _all(below(f"update.{player}", TIMID), above("distance", FAR))
        since, update = h.lasting(crawls, ticks=6, share=0.14, rounds=h.slow_start), h.get(f"update.{player}")
        if since:
            text = f"{player} hardly learns: a step changes its weights by {update:.1g} of their size."
            advice = "Its learning rate, or what D's slopes leave of it, is far too small."
            return _found(h, v.STALLED, since, text, advice, (f"update.{player}", "distance"), player)
    return None


def not_begun(h: History) -> Verdict | None:
    """Samples that have been the same from the beginning. Many good games begin so, for a while."""
    since = h.lasting(below("diversity", SAME), ticks=6, share=0.14, rounds=h.slow_start)
    if since is None or since is not h.moments[0] or improves(h):
        return None
    text = f"G has not begun: its samples differ by {100 * h.get('diversity'):.0f} % of what real samples differ by."
    advice = "What D tells it comes to nothing; another learning rate or loss gets it off the ground."
    return _found(h, v.STALLED, since, text, advice, ("diversity", "distance"))


def stalled(h: History) -> Verdict | None:
    """Nothing comes nearer to the data, and nothing else explains it."""
    since = h.lasting(above("distance", FAR), ticks=8, share=0.2, rounds=h.slow_start)
    if since is None or improves(h, 0.2):
        return None
    text = "samples look nothing like the data and come no nearer."
    advice = "The learning rate may be far too small, or the task out of G's reach."
    return _found(h, v.STALLED, since, text, advice, ("distance",))


# --- who wins --------------------------------------------------------------------------------------------------


def d_wins(h: History) -> Verdict | None:
    for player in h.judges:
        # of samples that are all the same: see not_begun
        loses = _all(above(f"{player}.auc", KNOWS), above("distance", FAR), above("diversity", SAME))
        since = h.lasting(loses, ticks=6, share=0.16, rounds=h.slow_start)
        if since and not improves(h):
            right = f"{100 * h.get(f'{player}.auc'):.1f} %"
            text = f"{player} tells real from made in {right} of all cases, and the samples come no nearer to the data."
            advice = "G learns little from a judge who is never in doubt; slow D down or penalise it."
            return _found(h, v.D_WINS, since, text, advice, (f"{player}.auc", "distance"), player)
    return None


def g_wins(h: History) -> Verdict | None:
    for player in h.judges:
        since = h.lasting(_all(below(f"{player}.auc", GUESSES), above("distance", FAR)), ticks=6, share=0.08)
        auc = h.get(f"{player}.auc")
        is_fooled = auc < 1 - GUESSES
        if since and (is_fooled or not improves(h)):
            text = f"{player} tells {100 * auc:.0f} % apart (50 is guessing) although samples look nothing like data."
            if is_fooled:
                text = f"{player} takes samples for real and real ones for samples in {100 - 100 * auc:.0f} % of cases."
            advice = "D is too slow or too weak to teach G anything; let it learn faster or more often."
            return _found(h, v.G_WINS, since, text, advice, (f"{player}.auc", "distance"), player)
    return None


def hasty(h: History) -> Verdict | None:
    """Steps longer than the weights themselves: at once where the first was, or those of a game that comes to nothing.

    A game may get over its first steps; it is told of while it is young, for another shot has a better start.
    """
    for player, longest in h.longest.items():
        at_first = h.first(f"longest.{player}") > HASTY and h.age[1] < h.slow_start
        lost = h.lasting(above("distance", FAR), share=0.12) and h.get("distance") > ALIKE * h.started
        if longest > HASTY and (at_first or lost):
            text = f"a step of {player} changed its weights by {longest:.2g} times their size."
            advice = "The learning rate is far too high: what was learned is thrown away."
            return _found(h, v.DIVERGING, h.moments[0], text, advice, (f"longest.{player}", "distance"), player)
    return None


def diverging(h: History) -> Verdict | None:
    """Samples that leave the data again."""
    if not h.get("distance") > FAR:
        return None  # most games, most of the time
    known = h.column("distance")
    if len(known) < 2 * TICKS:
        return None
    least = min(known[:-TICKS])
    since = h.lasting(above("distance", max(GROWN * least, FAR)))
    if since is None or least > FAR:
        return None
    text = f"samples are {h.get('distance') / max(least, 1e-3):.2g} times as far from the data as they were at best."
    advice = "The players push each other away; smaller steps or a stronger penalty hold them."
    return _found(h, v.DIVERGING, since, text, advice, ("distance",))


def runaway(h: History) -> Verdict | None:
    """A D whose logits grow without end: nothing holds its slopes."""
    for player in h.judges:
        both = [(m.signs.get(f"{player}.real"), m.signs.get(f"{player}.fake")) for m in h.within(0.15)]
        apart = [abs(real - fake) for real, fake in both if real is not None and fake is not None]
        n = len(apart) // 3
        if n < 2:
            continue
        early, middle, late = median(apart[:n]), median(apart[n : 2 * n]), median(apart[2 * n :])
        if late > HIGH and middle > RISES * early and late > RISES * middle:
            grown = f"{early:.2g}, {middle:.2g}, {late:.2g}"
            text = f"what {player} says of real and of made samples grows apart without end: {grown}."
            advice = "Nothing holds its slopes: a gradient penalty, or a smaller clip, does."
            return _found(h, v.DIVERGING, h.within(0.15)[0], text, advice, (f"{player}.real", f"{player}.fake"), player)
    return None


def oscillating(h: History) -> Verdict | None:
    def circles(moments: Sequence[Moment]) -> bool:
        return _median(moments, "circling") > SWINGS and _median(moments, "distance") > FAR

    since = h.stretch(circles, 0.15, least=6)
    if since is None or h.age[1] < h.slow_start or _is_one_kind(h) or improves(h):
        return None
    swings = median(h.recent("swing", 0.15, least=6))
    text = f"from one look to the next {100 * swings:.0f} % of the samples become something else."
    advice = "The players chase each other in a circle; smaller steps settle them."
    return _found(h, v.OSCILLATING, since, text, advice, ("swing", "distance"))


def _is_one_kind(h: History) -> bool:
    """Whether samples have been one blur all along, which changes places all at once in a game that has not begun."""
    return max(h.column("diversity"), default=0.0) < ONE_KIND


def _median(moments: Sequence[Moment], name: str) -> float:
    return median([m.signs[name] for m in moments if name in m.signs])


# --- what is made ----------------------------------------------------------------------------------------------


def total_collapse(h: History) -> Verdict | None:
    since = h.lasting(below("diversity", SAME), share=0.06)
    if since is None or since is h.moments[0] or improves(h):
        return None  # where samples have been the same from the beginning, the game has not begun yet
    # from random weights many good games go to one blur first
    if min(h.column("distance"), default=math.inf) > FAR and h.now.round - since.round < h.slow_start:
        return None
    text = f"samples differ by {100 * h.get('diversity'):.0f} % of what real samples differ by: they are all the same."
    advice = "G has found one sample that passes and makes nothing else."
    return _found(h, v.COLLAPSE, since, text, advice, ("diversity", "distance"))


def partial_collapse(h: History) -> Verdict | None:
    """Kinds of the data that are missing: the same ones, or now these and now those."""
    few = 1 - GONE + 1e-6
    since = h.stretch(lambda moments: _median(moments, "modes") <= few, 0.1, least=6)
    if since is None or h.get("modes") > few or _is_one_kind(h) or improves(h):
        return None
    # many good games begin with few, and add to them
    hops = median(h.recent("circling", 0.1, least=6)) > SWINGS
    adds = max(h.column("modes")) <= few and not hops
    share, rounds = h.age
    if share < h.part(LATE if adds else YET) or rounds < h.slow_start:
        return None
    names = h.now.missing
    some = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    text = f"{len(names)} kinds of the data never appear among the samples ({some})."
    if hops:
        text = f"{len(names)} kinds of the data are missing among the samples now ({some}), and others were before."
    advice = "G covers a part of the data and D does not make it cover the rest."
    return _found(h, v.COLLAPSE, since, text, advice, ("modes", "diversity"))


def condition_ignored(h: History) -> Verdict | None:
    chance, floor = h.get("agreement chance"), h.floor("agreement")
    still = _all(below("condition", MOVES), below("distance", FAR))
    since = h.lasting(still, ticks=6, share=0.1, rounds=h.slow_start)
    moved = h.trend("condition", 0.2)
    if since and moved and moved.after > RISES * moved.before:
        since = None  # they begin to move with it
    if since is None and floor - chance > READS:
        astray = below("agreement", chance + SAYS * (floor - chance))
        # samples that look like nothing yet follow nothing yet, unless nobody asks them to
        since = h.lasting(lambda m: astray(m) and (_looks_real(m) or _nobody_asks(m)), ticks=6, share=0.1)
        since = None if since is None or _begins_to_follow(h) else since
    if since is None or h.get("diversity") < SAME:
        return None
    text = "samples do not follow what they are told to be."
    if not math.isnan(h.get("agreement")):
        right, by_chance, real = (f"{100 * x:.0f} %" for x in (h.get("agreement"), chance, floor))
        text = f"{right} of the samples are of the class they were made for; {by_chance} is chance, real data {real}."
    advice = "D does not ask whether a sample matches its condition, or the labels say nothing about the images."
    return _found(h, v.CONDITION, since, text, advice, ("condition", "agreement"))


def _begins_to_follow(h: History) -> bool:
    followed = h.trend("agreement", 0.2)
    return followed is not None and followed.after > followed.before + FOLLOWS


_looks_real = below("distance", NEAR)


def _nobody_asks(m: Moment) -> bool:
    """Whether no player says anything else of a sample when its condition is another's."""
    asked = [x for name, x in m.signs.items() if name.endswith(".matching")]
    return bool(asked) and all(abs(x - 0.5) < 1e-6 for x in asked)


def noise_ignored(h: History) -> Verdict | None:
    since = h.lasting(below("noise", MOVES), share=0.1)
    if since is None:
        return None
    text = f"another random vector changes a sample by {100 * h.get('noise'):.2g} % of what real samples differ by."
    advice = "G makes one answer for each condition; it has no reason to make several."
    return _found(h, v.NOISE, since, text, advice, ("noise",))


# --- what is learned by heart ----------------------------------------------------------------------------------


def memorised(h: History) -> Verdict | None:
    for player in h.judges:
        since = h.lasting(above(f"{player}.memory", REMEMBERS), ticks=6, share=0.1)
        if since:
            known = f"{100 * h.get(f'{player}.memory'):.0f} %"
            text = f"{player} tells training images from real ones that it never saw ({known}, 50 is fair)."
            advice = "It knows the data by heart; more data, or augmentation, makes that hard."
            return _found(h, v.MEMORY, since, text, advice, (f"{player}.memory",), player)
    return None


def copied(h: History) -> Verdict | None:
    since = h.lasting(below("nearest", COPIED), ticks=6, share=0.1)
    if since is None or h.get("diversity") < SAME:
        return None
    text = f"samples lie {100 * h.get('nearest'):.0f} % as far from a training image as unseen real images do."
    return _found(h, v.COPIES, since, text, "G repeats what it was shown; more data is the mend.", ("nearest",))


def slow_input(h: History) -> Verdict | None:
    since = h.lasting(above("waiting", WAITS), ticks=6, share=0.1, rounds=0)
    if since is None:
        return None
    text = f"{100 * h.get('waiting'):.0f} % of the time goes into reading data."
    return _found(h, v.SLOW, since, text, "Use a faster disk, or make the images smaller once.", ("waiting",))


# what loses a game comes before what is only told
CHECKS: tuple[Callable[[History], Verdict | None], ...] = (
    hasty, frozen, timid, not_begun, total_collapse, diverging, runaway, d_wins, g_wins, partial_collapse,
    condition_ignored, oscillating, stalled, memorised, copied, noise_ignored, slow_input,
)  # fmt: skip
AT_ANY_AGE = (frozen, noise_ignored, slow_input)


def improves(h: History, share: float = 0.1) -> bool:
    """Whether samples come nearer to the data or become more diverse, from part to part of the budget; or would be near
    by its end if they went on as slowly as they do.
    """
    distance, diversity = h.trend("distance", 2 * share), h.trend("diversity", 2 * share)
    if distance is None or diversity is None:
        return True  # too early to say no
    before, after = max(distance.before, 1e-6), max(distance.after, 1e-6)
    # as far as chance allows: in the first minutes of a night nobody can tell
    best = max(after - SIGMAS * distance.error, 1e-6) if distance.apart < EARLY else after
    at_the_end = best * min(1.0, best / before) ** ((1 - h.now.share) / max(distance.apart, 1e-6))
    more = min(1.0, diversity.after) > diversity.before + IMPROVES
    return more or after < (1 - IMPROVES) * before or at_the_end < NEAR < after


def _all(*conditions: Callable[[Moment], bool]) -> Callable[[Moment], bool]:
    return lambda m: all(holds(m) for holds in conditions)


def _found(
    h: History, name: str, since: Moment, text: str, advice: str, evidence: tuple[str, ...], player: str = ""
) -> Verdict:
    known = {k: h.get(k) for k in evidence if not math.isnan(h.get(k))}
    return Verdict(name, text, advice, known, since.round, player)
