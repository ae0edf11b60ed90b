"""The referee: vital signs -> verdict -> remedy.

`signs.py` measures a game in training, `checks.py` makes a verdict of what a log says, `remedies.py` holds what is
tried for each verdict. All but the measuring are pure functions of the log's lines.
"""
