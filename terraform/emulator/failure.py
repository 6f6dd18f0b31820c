"""What stops the trial, told to whoever runs it."""


class Failure(Exception):
    """Something is not there, or is not as it should be: one sentence, with what to do where there is something."""


def demand(holds, message):
    """Goes on where the fact holds."""
    if not holds:
        raise Failure(message)
