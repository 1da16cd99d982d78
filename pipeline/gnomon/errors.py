"""Every error Gnomon raises on purpose. All are sentences a stranger can act on.

GnomonError                    exit code
├── UsageError                 2   wrong use: an argument or a combination of arguments that means nothing
├── ConfigError                2   gnomon.toml, rules.toml or an environment variable says something impossible
├── InputError                 2   a capture, a store or a rules file that cannot be read at all
├── NotEnoughDataError         3   the question has an answer only with more pairs
├── DependencyError            4   a broker, a database or a disk that could not be reached or is full: try again
└── FencedError                4   another process has taken over what this one wrote to: stop writing

One broken *record* is never an exception: it is a `gnomon.model.Reject`, kept and counted.
Foreign exceptions are mapped to these at the edge that meets them, once.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DependencyError",
    "FencedError",
    "GnomonError",
    "InputError",
    "NotEnoughDataError",
    "UsageError",
]


class GnomonError(Exception):
    """The root of the tree; `exit_code` is what the command line ends with.

    Args:
        what: What was read or tried, where, and what was expected instead.
        remedy: What to do about it; it becomes the sentence's second half.
    """

    exit_code = 70

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}; {remedy}" if remedy else what)


class UsageError(GnomonError):
    """An argument or a combination of arguments that means nothing."""

    exit_code = 2


class ConfigError(GnomonError):
    """A setting or a rule that is impossible; names the file, the key and the closest known key."""

    exit_code = 2


class InputError(GnomonError):
    """A file that cannot be read at all (a broken record inside one is a `Reject`)."""

    exit_code = 2


class NotEnoughDataError(GnomonError):
    """The question has an answer only with more pairs."""

    exit_code = 3


class DependencyError(GnomonError):
    """A broker, a database or a disk that could not be reached or is full; it may work again later."""

    exit_code = 4


class FencedError(GnomonError):
    """Another process has taken over what this one wrote to; nothing of this process lands there any more."""

    exit_code = 4
