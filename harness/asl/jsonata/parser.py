"""Parsing expressions: operator precedence, top down (Pratt's method)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.asl.jsonata.ast import Node, process
from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.lexer import Lexer
from harness.asl.jsonata.signature import Signature

__all__ = ["parse"]

_POWERS: Final = {
    **dict.fromkeys(("[", "(", "@", "#"), 80),
    ".": 75,
    "{": 70,
    **dict.fromkeys("*/%", 60),
    **dict.fromkeys("+-&", 50),
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">=", "^", "in", "~>"), 40),
    "and": 30,
    "or": 25,
    "?": 20,
    ":=": 10,
}
"""How strongly an operator binds the operand on its left; those that are not here bind nothing."""

_SYMBOLS: Final = frozenset((*_POWERS, *":;,)]}|", "..", "**"))
_LITERALS: Final = ("string", "number", "value", "name", "variable", "regex")


def parse(text: str) -> Node:
    """The syntax tree of an expression.

    Raises:
        JsonataError: It is malformed.
        RegexError: A regular expression in it is.
        RecursionError: It is nested too deeply.
    """
    return process(_Parser(text).parse())


class _Parser:
    """Attributes: the token that comes next, as a node of type ``operator``, a literal's, or ``end``."""

    def __init__(self, text: str) -> None:
        self._lexer = Lexer(text)
        self._node = Node("end")

    def parse(self) -> Node:
        self._advance()
        tree = self._expression(0)
        if self._node.type != "end":
            raise JsonataError("S0201", token=self._node.value)
        return tree

    def _advance(self, *, infix: bool = False) -> None:
        token = self._lexer.next(infix=infix)
        if token is None:
            self._node = Node("end", "(end)")
            return
        if token.type == "operator" and token.value not in _SYMBOLS:
            raise JsonataError("S0204", token=token.value)
        self._node = Node(token.type, token.value)

    def _at(self, symbol: str) -> bool:
        return self._node.type == "operator" and self._node.value == symbol

    def _take(self, symbol: str) -> bool:
        if not self._at(symbol):
            return False
        self._advance()
        return True

    def _expect(self, symbol: str, *, infix: bool = False) -> None:
        if not self._at(symbol):
            if self._node.type == "end":
                raise JsonataError("S0203", value=symbol, token=self._node.value)
            raise JsonataError("S0202", value=symbol, token=self._node.value)
        self._advance(infix=infix)

    def _expression(self, power: int) -> Node:
        node = self._node
        self._advance(infix=True)
        left = self._operand(node)
        while self._node.type == "operator" and power < _POWERS.get(self._node.value, 0):
            operator: str = self._node.value
            self._advance()
            parse = _INFIX.get(operator)
            if parse is not None:
                left = parse(self, left)
            else:
                left = Node("binary", operator, left, self._expression(_POWERS[operator]))
        return left

    # What starts an expression -------------------------------------------------------------------------

    def _operand(self, node: Node) -> Node:
        if node.type != "operator":
            return node
        parse = _PREFIX.get(node.value)
        if parse is not None:
            return parse(self)
        if node.value in ("and", "or", "in"):
            return node
        raise JsonataError("S0211", token=node.value)

    def _negation(self) -> Node:
        return Node("negate", left=self._expression(70))

    def _block(self) -> Node:
        expressions = []
        while not self._at(")"):
            expressions.append(self._expression(0))
            if not self._take(";"):
                break
        self._expect(")", infix=True)
        return Node("block", parts=expressions)

    def _array(self) -> Node:
        elements = []
        if not self._at("]"):
            while True:
                element = self._expression(0)
                if self._take(".."):
                    element = Node("binary", "..", element, self._expression(0))
                elements.append(element)
                if not self._take(","):
                    break
        self._expect("]", infix=True)
        return Node("array", parts=elements)

    def _object(self) -> Node:
        return Node("object", pairs=self._pairs())

    def _pairs(self) -> list[tuple[Node, Node]]:
        pairs = []
        if not self._at("}"):
            while True:
                name = self._expression(0)
                self._expect(":")
                pairs.append((name, self._expression(0)))
                if not self._take(","):
                    break
        self._expect("}", infix=True)
        return pairs

    def _transform(self) -> Node:
        pattern = self._expression(0)
        self._expect("|")
        node = Node("transform", condition=pattern, left=self._expression(0))
        if self._take(","):
            node.right = self._expression(0)
        self._expect("|")
        return node

    # What goes on with one -----------------------------------------------------------------------------

    def _call(self, procedure: Node) -> Node:
        node = Node("function", left=procedure)
        if not self._at(")"):
            while True:
                if self._at("?"):
                    node.type = "partial"
                    node.parts.append(self._node)
                    self._advance()
                else:
                    node.parts.append(self._expression(0))
                if not self._take(","):
                    break
        self._expect(")", infix=True)
        if procedure.type == "name" and procedure.value in ("function", "λ"):
            return self._lambda(node.parts)
        return node

    def _lambda(self, parameters: list[Node]) -> Node:
        for index, parameter in enumerate(parameters):
            if parameter.type != "variable":
                raise JsonataError("S0208", token=parameter.value, value=index + 1)
        signature = self._signature() if self._at("<") else None
        self._expect("{")
        body = self._expression(0)
        self._expect("}")
        return Node("lambda", left=body, parts=parameters, signature=signature)

    def _signature(self) -> Signature:
        text = "<"
        depth = 1
        while depth > 0 and not self._at("{") and self._node.type != "end":
            self._advance()
            depth += self._at("<") - self._at(">")
            text += str(self._node.value)
        self._expect(">")
        return Signature(text)

    def _predicate(self, left: Node) -> Node:
        if self._at("]"):
            step = left
            while step.type == "binary" and step.value == "[":
                assert step.left is not None
                step = step.left
            step.keep_array = True
            self._advance()
            return left
        node = Node("binary", "[", left, self._expression(0))
        self._expect("]", infix=True)
        return node

    def _order(self, left: Node) -> Node:
        self._expect("(")
        node = Node("binary", "^", left)
        while True:
            descending = self._at(">")
            if descending or self._at("<"):
                self._advance()
            node.terms.append((self._expression(0), descending))
            if not self._take(","):
                break
        self._expect(")")
        return node

    def _group(self, left: Node) -> Node:
        return Node("binary", "{", left, pairs=self._pairs())

    def _assignment(self, left: Node) -> Node:
        if left.type != "variable":
            raise JsonataError("S0212", token=left.value)
        return Node("binary", ":=", left, self._expression(_POWERS[":="] - 1))

    def _focus(self, left: Node) -> Node:
        return self._variable("@", left)

    def _index(self, left: Node) -> Node:
        return self._variable("#", left)

    def _variable(self, operator: str, left: Node) -> Node:
        right = self._expression(_POWERS[operator])
        if right.type != "variable":
            raise JsonataError("S0214", token=operator)
        return Node("binary", operator, left, right)

    def _condition(self, left: Node) -> Node:
        node = Node("condition", condition=left, left=self._expression(0))
        if self._take(":"):
            node.right = self._expression(0)
        return node


_PREFIX: Final[dict[str, Callable[[_Parser], Node]]] = {
    "-": _Parser._negation,
    "(": _Parser._block,
    "[": _Parser._array,
    "{": _Parser._object,
    "|": _Parser._transform,
    "*": lambda _: Node("wildcard"),
    "**": lambda _: Node("descendant"),
    "%": lambda _: Node("parent"),
}
_INFIX: Final[dict[str, Callable[[_Parser, Node], Node]]] = {
    "(": _Parser._call,
    "[": _Parser._predicate,
    "^": _Parser._order,
    "{": _Parser._group,
    ":=": _Parser._assignment,
    "@": _Parser._focus,
    "#": _Parser._index,
    "?": _Parser._condition,
}
