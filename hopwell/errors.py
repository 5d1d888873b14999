"""The base of every error a user can mend."""


class HopwellError(Exception):
    """A fault in what the user gave: one line that names the culprit and the remedy. The CLI prints it and exits 2."""
