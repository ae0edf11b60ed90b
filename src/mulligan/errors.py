"""What goes wrong outside the code."""


class Mistake(ValueError):  # noqa: N818, it is the user's word for it
    """Something the user can mend. One line: the value, the rule and the mend; the command line prints it as it is.

    Every other error, a ValueError of the user's own system among them, keeps its traceback.
    """
