"""What can go wrong, by who can mend it: each class carries the exit code of the command."""


class ResegmentError(Exception):
    """An error that says what, where, how many and what to do next."""

    exit_code = 3


class GateError(ResegmentError):
    """The data, or a result, is not good enough to go on."""

    exit_code = 1


class InputError(ResegmentError):
    """No table with the contract's columns can be formed, or the call or the contract is wrong."""

    exit_code = 2


class OutsideError(ResegmentError):
    """Something outside failed: a disk, a server, a database."""

    exit_code = 3
