"""Regular expressions with a bound.

JSONata has JavaScript's, the filters of JSONPath have Java's. Python's engine differs from both in small
things and can run for ever; this one backtracks as theirs do, in the dialect of JavaScript (ECMAScript 2018
without the flag u) and the part of Java's that is the same, and pays for every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from harness.asl.regex_syntax import (
    Alternation,
    Anchor,
    BackReference,
    CharacterClass,
    Group,
    Part,
    RegexError,
    Repetition,
    Sequence,
    parse,
)

__all__ = ["Match", "Meter", "Regex", "RegexError"]

MAX_PROGRAM: Final = 20_000
"""Instructions that an expression may need; counted repetitions are written out."""

_TURN: Final = 1024

Span: TypeAlias = tuple[int, int]


class Meter(Protocol):
    """Who is paid."""

    def work(self, items: int) -> None:
        """Pay for so many instructions; raises when there is nothing left to pay with."""


@dataclass(frozen=True, slots=True)
class Match:
    """What an expression has found.

    Attributes:
        span: Where, as (start, end).
        groups: The same of its groups; None for one that took no part.
    """

    span: Span
    groups: tuple[Span | None, ...]


class Regex:
    """A compiled regular expression.

    Args:
        source: The expression.
        ignore_case: Whether ``a`` matches ``A``.
        multiline: Whether ``^`` and ``$`` match at line breaks.
        dot_all: Whether ``.`` matches line breaks.
        java: Whether the text is Java's: what Java reads differently is refused, ``\\A``, ``\\z`` are known.

    Raises:
        RegexError: It is malformed, not supported, or too large.
    """

    def __init__(
        self,
        source: str,
        *,
        ignore_case: bool = False,
        multiline: bool = False,
        dot_all: bool = False,
        java: bool = False,
    ) -> None:
        self.source = source
        tree, self._groups = parse(
            source, ignore_case=ignore_case, multiline=multiline, dot_all=dot_all, java=java
        )
        compiler = _Compiler(2 * self._groups + 2, ignore_case)
        self._program = compiler.compile(Group(tree, 0))
        self._registers = compiler.registers

    def search(self, text: str, start: int, meter: Meter) -> Match | None:
        """The first match at or after `start`."""
        first = self._program[1][1] if self._program[1][0] == SET else None
        for position in range(start, len(text) + 1):
            if first is not None and (position == len(text) or not first.accepts(text[position])):
                continue
            found = self.match(text, position, meter)
            if found is not None:
                return found
        meter.work(len(text) - start)
        return None

    def match(self, text: str, position: int, meter: Meter) -> Match | None:
        """The match that starts at a position."""
        registers = _run(self._program, text, position, (-1,) * self._registers, meter)
        if registers is None:
            return None
        spans = [(registers[2 * index], registers[2 * index + 1]) for index in range(self._groups + 1)]
        return Match(spans[0], tuple(None if -1 in span else span for span in spans[1:]))

    def full_match(self, text: str, meter: Meter) -> bool:
        """Whether the expression matches the whole text."""
        program = [*self._program[:-1], (END, None, None), (MATCH, None, None)]
        return _run(program, text, 0, (-1,) * self._registers, meter) is not None


# Programs --------------------------------------------------------------------------------------------------

Instruction: TypeAlias = tuple[int, Any, Any]

(
    SET,  # characters, step: one character of a class; step is 1 forwards, -1 backwards
    RUN,  # characters, (least, most): so many characters of a class, the more the better
    SPLIT,  # first, second: go on at one, and if that fails at the other
    JUMP,  # target
    SAVE,  # register: remember the position
    CLEAR,  # first, last: forget these registers
    ADVANCED,  # register: fail unless the position has changed since it was saved there
    ANCHOR,  # kind, whether multiline
    REFER,  # group, step: the text that a group has matched
    LOOK,  # program, whether it must not match
    END,
    MATCH,
) = range(12)


class _Compiler:
    def __init__(self, registers: int, ignore_case: bool) -> None:
        self.registers = registers
        self._ignore_case = ignore_case
        self._program: list[Instruction] = []

    def compile(self, tree: Part, *, backward: bool = False) -> list[Instruction]:
        outer, self._program = self._program, []
        self._emit(tree, backward)
        self._add(MATCH)
        program, self._program = self._program, outer
        return program

    def _add(self, operation: int, first: Any = None, second: Any = None) -> int:
        if len(self._program) >= MAX_PROGRAM:
            raise RegexError("Regular expression too large")
        self._program.append((operation, first, second))
        return len(self._program) - 1

    def _emit(self, part: Part, backward: bool) -> None:
        if isinstance(part, CharacterClass):
            self._add(SET, part, -1 if backward else 1)
        elif isinstance(part, Sequence):
            for item in reversed(part.parts) if backward else part.parts:
                self._emit(item, backward)
        elif isinstance(part, Alternation):
            self._emit_alternation(part, backward)
        elif isinstance(part, Group):
            self._add(SAVE, 2 * part.index + backward)
            self._emit(part.part, backward)
            self._add(SAVE, 2 * part.index + (not backward))
        elif isinstance(part, Repetition):
            self._emit_repetition(part, backward)
        elif isinstance(part, Anchor):
            self._add(ANCHOR, part.kind, part.multiline)
        elif isinstance(part, BackReference):
            self._add(REFER, part.index, (-1 if backward else 1, self._ignore_case))
        else:
            self._add(LOOK, self.compile(part.part, backward=part.behind), part.negative)

    def _emit_alternation(self, part: Alternation, backward: bool) -> None:
        exits = []
        for choice in part.choices[:-1]:
            split = self._add(SPLIT)
            self._emit(choice, backward)
            exits.append(self._add(JUMP))
            self._program[split] = (SPLIT, split + 1, len(self._program))
        self._emit(part.choices[-1], backward)
        for index in exits:
            self._program[index] = (JUMP, len(self._program), None)

    def _emit_repetition(self, part: Repetition, backward: bool) -> None:
        most = part.most
        if isinstance(part.part, CharacterClass) and part.greedy and not backward:
            self._add(RUN, part.part, (part.least, most))
            return
        for _ in range(part.least):
            self._emit_iteration(part, backward)
        if most is None:
            loop = self._add(SPLIT)
            self._emit_guarded(part, backward)
            self._add(JUMP, loop)
            self._program[loop] = self._choice(part, loop + 1, len(self._program))
            return
        splits = []
        for _ in range(part.least, most):
            splits.append(self._add(SPLIT))
            self._emit_guarded(part, backward)
        for split in splits:
            self._program[split] = self._choice(part, split + 1, len(self._program))

    def _emit_iteration(self, part: Repetition, backward: bool) -> None:
        first, last = part.groups
        if last > first:
            self._add(CLEAR, 2 * first, 2 * last)
        self._emit(part.part, backward)

    def _emit_guarded(self, part: Repetition, backward: bool) -> None:
        """An iteration that is not counted if it is empty."""
        register = self.registers
        self.registers += 1
        self._add(SAVE, register)
        self._emit_iteration(part, backward)
        self._add(ADVANCED, register)

    @staticmethod
    def _choice(part: Repetition, more: int, less: int) -> Instruction:
        return (SPLIT, more, less) if part.greedy else (SPLIT, less, more)


Registers: TypeAlias = tuple[int, ...]


def _run(
    program: list[Instruction], text: str, position: int, registers: Registers, meter: Meter
) -> Registers | None:
    """The registers after a match; None if there is none."""
    size = len(text)
    counter = 0
    steps = 0
    # What to try next when something fails: (counter, position, registers, how far back a run may be cut).
    choices: list[tuple[int, int, Registers, int]] = []
    while True:
        steps += 1
        if steps >= _TURN:
            meter.work(4 * steps)
            steps = 0
        operation, first, second = program[counter]
        counter += 1
        if operation == SET:
            index = position if second > 0 else position - 1
            if 0 <= index < size and first.accepts(text[index]):
                position += second
                continue
        elif operation == RUN:
            least, most = second
            end = size if most is None else min(size, position + most)
            start = position
            accepts = first.accepts
            while position < end and accepts(text[position]):
                position += 1
            steps += (position - start) // 8
            if position - start >= least:
                if position - start > least:
                    choices.append((counter, position - 1, registers, start + least))
                continue
        elif operation == SPLIT:
            choices.append((second, position, registers, position))
            counter = first
            continue
        elif operation == JUMP:
            counter = first
            continue
        elif operation == SAVE:
            registers = (*registers[:first], position, *registers[first + 1 :])
            continue
        elif operation == CLEAR:
            registers = (*registers[:first], *(-1,) * (second - first), *registers[second:])
            continue
        elif operation == ADVANCED:
            if registers[first] != position:
                continue
        elif operation == ANCHOR:
            if _holds(first, second, text, position):
                continue
        elif operation == REFER:
            step, ignore_case = second
            length = _referred(text, registers[2 * first : 2 * first + 2], position, step, ignore_case)
            if length is not None:
                position += step * length
                continue
        elif operation == LOOK:
            inside = _run(first, text, position, registers, meter)
            if (inside is None) == second:
                registers = registers if inside is None else inside
                continue
        elif operation == END:
            if position == size:
                continue
        else:
            meter.work(4 * steps)
            return registers
        if not choices:
            meter.work(4 * steps)
            return None
        counter, position, registers, lowest = choices.pop()
        if position > lowest:
            choices.append((counter, position - 1, registers, lowest))


_BREAKS: Final = "\n\r\u2028\u2029"


def _holds(kind: str, multiline: bool, text: str, position: int) -> bool:
    if kind == "^":
        return position == 0 or (multiline and text[position - 1] in _BREAKS)
    if kind == "$":
        return position == len(text) or (multiline and text[position] in _BREAKS)
    before = position > 0 and _is_word(text[position - 1])
    after = position < len(text) and _is_word(text[position])
    return (before != after) == (kind == "b")


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


def _referred(text: str, span: Registers, position: int, step: int, ignore_case: bool) -> int | None:
    """How long the text of a group is, if it comes next."""
    if -1 in span:
        return 0
    wanted = text[span[0] : span[1]]
    start = position if step > 0 else position - len(wanted)
    found = text[max(start, 0) : start + len(wanted)]
    if ignore_case:
        wanted, found = wanted.upper(), found.upper()
    return span[1] - span[0] if wanted == found else None
