"""The exceptions that end a command with one line instead of a traceback."""


class InputError(Exception):
    """Bad input. The message is one line: the file or flag, what is wrong, what to do."""


class StoppedError(Exception):
    """Stopped from outside, with all saved that is needed to go on. The message is one line."""
