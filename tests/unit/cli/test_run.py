"""How a command ends: one sentence on stderr, and the exit code that says what kind of end it was."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnomon import errors
from gnomon.cli import main
from gnomon.cli.completion import completion

Run = Callable[..., Any]


def every_error() -> list[type[errors.GnomonError]]:
    """Give all classes of the error tree."""
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.GnomonError)]


def ends_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let one command raise an error."""

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(completion, "callback", fail)


@pytest.mark.parametrize("kind", every_error())
def test_each_error_of_the_tree_is_a_sentence_and_its_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: type[errors.GnomonError]
) -> None:
    """No error of ours is a traceback, and each has the exit code that its class says."""
    ends_with(monkeypatch, kind("x.ndjson is odd", "look at it"))
    assert run("completion", "bash") == (kind.exit_code, "", "gnomon: x.ndjson is odd; look at it\n")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "gnomon: interrupted\n"),
        (KeyError("x"), 70, "gnomon: this is a bug of ours (KeyError: 'x'); please report it to the maintainers"),
        (RecursionError(), 70, "gnomon: this is a bug of ours (RecursionError); please"),
    ],
)
def test_other_ends_have_their_own_codes(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    """Ctrl-C is 130 as in shells, and what we did not expect is our bug."""
    ends_with(monkeypatch, error)
    ended = run("completion", "bash")
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(sentence)
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("x"), errors.InputError("x")])
def test_a_traceback_is_printed_when_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """`--debug` shows where it happened, and the sentence still ends it."""
    ends_with(monkeypatch, error)
    ended = run("--debug", "completion", "bash")
    assert "Traceback (most recent call last)" in ended.err
    assert ended.err.splitlines()[-1].startswith("gnomon: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["comapre"], "gnomon: No such command 'comapre'. Did you mean 'compare'?; see 'gnomon --help'\n"),
        (["rules", "chek"], "gnomon: No such command 'chek'. Did you mean 'check'?; see 'gnomon rules --help'\n"),
        (["compare", "--lve", "x"], "gnomon: No such option: --lve (Possible options"),
        (["query"], "gnomon: Missing argument 'SQL'; see 'gnomon query --help'\n"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
    ],
)
def test_wrong_use_names_the_help(run: Run, arguments: list[str], sentence: str) -> None:
    """A misspelt command or option is answered with the closest one, in one sentence."""
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert sentence in ended.err


def test_without_a_command_there_is_help(run: Run) -> None:
    """`gnomon` alone lists the commands and is wrong use."""
    ended = run()
    assert (ended.code, ended.out) == (2, "")
    assert "Commands:" in ended.err


def test_the_version_is_that_of_the_package(run: Run) -> None:
    """`gnomon --version` is one line."""
    assert run("--version") == (0, "gnomon 0.1.0\n", "")


def test_escapes_in_an_error_are_seen_not_obeyed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file name that would clear the screen is written out."""
    ends_with(monkeypatch, errors.InputError("\x1b[2Jx\n is odd"))
    assert run("completion", "bash").err == "gnomon: \\x1b[2Jx\\n is odd\n"


def test_a_reader_that_left_is_no_error(tmp_path: Path) -> None:
    """`gnomon ... | head` ends quietly, as a program that SIGPIPE ends."""
    program = f"{sys.executable} -c 'from gnomon.cli import main; import sys; sys.exit(main())' config show"
    done = subprocess.run(
        ["bash", "-c", f"{program} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout in ("141\n", "0\n")


def test_a_broken_pipe_is_quiet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """When the output cannot be written any more, nothing is said about it."""
    ends_with(monkeypatch, BrokenPipeError())
    kept = os.dup(1)
    try:
        with os.fdopen(1, "w", closefd=False) as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            assert main(["completion", "bash"]) == 141
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [("> /dev/full", 4, "gnomon: the output cannot be written: No space left on device\n"), (">&-", 0, "")],
    ids=["a full disk", "closed"],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_has_nowhere_to_go(tmp_path: Path, redirection: str, code: int, said: str) -> None:
    """A full disk is no bug of ours, and who closes the output does not want it."""
    program = f"{sys.executable} -c 'from gnomon.cli import main; import sys; sys.exit(main())' config show"
    done = subprocess.run(
        ["bash", "-c", f"{program} {redirection}"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_completion_script(run: Run, shell: str) -> None:
    """The script asks gnomon for what fits."""
    ended = run("completion", shell)
    assert ended.code == 0
    assert "_GNOMON_COMPLETE" in ended.out


def test_the_shell_is_given_what_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the script asks is answered: commands that begin as typed."""
    monkeypatch.setenv("_GNOMON_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "gnomon com")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert main([]) == 0
    assert capsys.readouterr().out == "plain,compact\nplain,compare\nplain,completion\n"


def test_text_streams_that_are_no_terminal_get_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A progress bar is for people at a terminal."""
    from gnomon.cli.tables import progress_bar

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar("comparing", 10) as advance:
        assert advance is None


@pytest.mark.parametrize(
    "command",
    [["route"], ["route", "preview"], ["route", "preview", "--from", "a"], ["route", "audit", "--clean", "a"]],
)
def test_settings_without_a_route_are_told_once(run: Run, command: list[str]) -> None:
    """The remedy says what to write, and not once more that there is none."""
    ended = run(*command)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == 'gnomon: there is no [[route]] in the settings; write [[route]] with from = "TOPIC"\n'
