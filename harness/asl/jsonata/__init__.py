"""JSONata, as Step Functions has it.

The language is that of the reference implementation, jsonata 2.0.6 (https://docs.jsonata.org), which AWS
runs. `parser` makes a tree of a text (`lexer`, `ast`, `signature`), `evaluator` walks it (`steps`, `calls`,
`operators`, `values`), `builtin` has the functions (`strings`, `numbers`, `arrays`, `integers`, `datetimes`,
`format_number`), `budget` the bounds. `expression` is what the states use.
"""

from harness.asl.jsonata.expression import Expression, ExpressionError, expression_in, is_half_marked

__all__ = ["Expression", "ExpressionError", "expression_in", "is_half_marked"]
