"""Definitions and inputs for the fuzz tests: valid ones, and ones with something wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.asl.helpers import INVOKE, LAMBDA

KEYS = st.sampled_from(["a", "b", "c", "a b", "é", "0", "x.y", ""])
NUMBERS = st.sampled_from(
    [0, 1, -1, 2, 3, 60, 2.5, -0.5, 1e-7, 1e21, 1e308, 2**31, 2**53 + 1, -(2**63), 10**30, 10**400]
)
TEXTS = st.sampled_from(
    [
        *("", "a", "abc", "1", "-5", "é", "\U0001f600", "\ud800", "\u0000", "true", "null", "a,b;c"),
        *("2024-01-01T00:00:00Z", "2024-02-30T00:00:00Z", "1999-12-31T23:59:59.999+02:00", '{"a": [1]}'),
        *("States.Timeout", "$", "$.a", "{%", "%}", "a" * 40, "%%%", "{}{}", "\\{"),
    ]
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = JSON | st.fixed_dictionaries(
    {
        "a": st.lists(st.fixed_dictionaries({"b": SCALARS, "c": JSON}), max_size=4),
        "b": st.lists(SCALARS, max_size=5),
        "c": st.dictionaries(KEYS, JSON, max_size=4),
    }
)
VARIABLES = st.sampled_from(["x", "y", "total"])


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


# Paths and intrinsic functions -----------------------------------------------------------------------------

STEPS = st.sampled_from(
    [
        *(".a", ".b", ".c", "['a']", "['a b']", '["b"]', "[0]", "[1]", "[-1]", "[7]", "[*]", ".*", "..a"),
        *("..*", "[0,1]", "['a','b']", "[0:2]", "[-2:]", "[:1]", "[1:-1]", "[-1:2]", "..[0]", ".é", ".0"),
        *("[?(@.b)]", "[?(@.b == 1)]", "[?(@.b > 0 && @.c)]", "[?(!(@.b in [1, 'a']))]", "[?(@.b size 1)]"),
        *("[?(@.b =~ /a.*/i)]", "[?(@.b =~ /(a+)+$/)]", "[?(@.b == $.b[0])]", "[?(@ contains 'a')]"),
        *("[?(@..* == 1)]", "[?(@.c empty true)]", "[?($..b)]"),
    ]
)
ENDS = st.sampled_from(["", "", "", ".length()", ".sum()", ".keys()", ".avg()", ".stddev()", ".first()"])
ROOTS = st.sampled_from(["$", "$", "$", "$$", "$$.Execution", "$$.State", "$x"])
PATHS = st.builds(
    lambda root, steps, end: root + "".join(steps) + end, ROOTS, st.lists(STEPS, max_size=3), ENDS
)
REFERENCES = st.sampled_from(["$", "$.a", "$.b", "$.c.d", "$['a b']", "$.a[0]", "$.r", "$.b[1].é"])
ODD_PATHS = st.sampled_from(
    ["$.", "$[", "$.a]", "$.a[?(", "$[x]", "$ ", "a", "$..", "$.a[1:2:3]", "$$$", "$.f()"]
)

ARGUMENTS = st.sampled_from(
    [
        *("1", "-1", "0", "2.5", "1e3", "99999999999", "'a'", "'a,b'", "','", "'{} {}'", "'\\'\\\\'", "''"),
        *("true", "null", "$.a", "$.b", "$", "$.b[0]", "$$.Execution.Name", "$x", "'SHA-1'", "'MD5'", "$.c"),
    ]
)
ARITIES = {
    **dict.fromkeys(("Array", "Format"), (1, 3)),
    **dict.fromkeys(("ArrayContains", "ArrayGetItem", "ArrayPartition", "Hash", "MathAdd"), (2, 2)),
    **dict.fromkeys(("ArrayLength", "ArrayUnique", "Base64Decode", "Base64Encode"), (1, 1)),
    **dict.fromkeys(("JsonToString", "StringToJson"), (1, 1)),
    **dict.fromkeys(("ArrayRange", "JsonMerge"), (3, 3)),
    "MathRandom": (2, 3),
    "StringSplit": (2, 2),
    "UUID": (0, 0),
}


@st.composite
def calls(draw: st.DrawFn, depth: int = 2) -> str:
    """An intrinsic function call."""
    name = draw(st.sampled_from(sorted(ARITIES)))
    inner = ARGUMENTS | calls(depth - 1) if depth else ARGUMENTS
    least, most = ARITIES[name]
    return f"States.{name}({', '.join(draw(st.lists(inner, min_size=least, max_size=most)))})"


QUERIES = PATHS | calls()
ODD_QUERIES = ODD_PATHS | st.sampled_from(
    ["States.Array(", "States.Nope()", "States.UUID(1)", "States.Hash('x)"]
)

# JSONata ---------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(
    [
        *("$states.input", "$states.input.a", "$states.input.b", "$states.context.Execution.Name", "$", "$x"),
        *("1", "0", "-1", "2.5", "1e308", '"a"', '""', "true", "null", "[]", "{}", "[1, 2, 3]", '"a,b"'),
        *("$nope", "[1..3]", '"[Y0001]-[M]"', '"#0.0"', "$states.input.a.b", "$states.input.**", '"w"'),
    ]
)
LIBRARY = st.sampled_from(
    [
        *("sum", "count", "max", "string", "substring", "uppercase", "length", "pad", "match", "contains"),
        *(
            "replace",
            "split",
            "join",
            "number",
            "round",
            "power",
            "boolean",
            "not",
            "map",
            "filter",
            "reduce",
        ),
        *("sort", "keys", "lookup", "append", "merge", "each", "sift", "zip", "distinct", "type", "exists"),
        *("error", "eval", "now", "millis", "formatNumber", "formatInteger", "parseInteger", "fromMillis"),
        *("toMillis", "formatBase", "partition", "range", "hash", "random", "uuid", "parse", "spread"),
        *("reverse", "shuffle", "base64decode", "base64encode", "clone", "encodeUrl", "single", "average"),
    ]
)
OPERATORS = st.sampled_from(
    [*("+", "-", "*", "/", "%", "&", "=", "!=", "<", ">=", "and", "or", "in", "~>", "[", "^", "|", "@", "#")]
)
AROUND = {
    "[": "{0}[{1}]",
    "^": "{0}^(>{1})",
    "|": "{0} ~> |$|{1}|",
    "@": "{0}@$v.({1})",
    "#": "{0}#$i[{1}]",
}
PATTERNS = st.sampled_from(["/a+/", "/(a+)+$/", "/b|(c)/i", "/[^,]*/"])


def _binary(left: str, operator: str, right: str) -> str:
    return AROUND.get(operator, f"{{0}} {operator} {{1}}").format(left, right)


def _call(name: str, arguments: list[str]) -> str:
    return f"${name}({', '.join(arguments)})"


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(_binary, inner, OPERATORS, inner),
        st.builds(_call, LIBRARY, st.lists(inner, max_size=3)),
        st.builds(_call, LIBRARY, st.tuples(inner, PATTERNS).map(list)),
        st.builds("{}.({})".format, inner, inner),
        st.builds("{}{{$string({}): $}}".format, inner, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("($v := {}; {})".format, inner, inner),
        st.builds("$map({}, function($x, $y) {{ {} }})".format, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'k': {}, $string({}): 1}}".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("-{}".format, inner),
        st.builds("($f := function($n) {{ $n < 1 ? {} : $f($n - 1) }}; $f(5))".format, inner),
    )


EXPRESSIONS = st.recursive(LEAVES, _grow, max_leaves=8)
MARKED = EXPRESSIONS.map("{{% {} %}}".format)
ODD_EXPRESSIONS = st.sampled_from(
    ["{% 1 + %}", "{% a %}", "{% % %}", "{% $$ %}", "{% * %}", "{% ( %}", "{% /(/ %}", "{% %}", "{% $f( %}"]
)

# Fields ----------------------------------------------------------------------------------------------------

TEMPLATES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(KEYS.map("{}.$".format), QUERIES, min_size=1, max_size=2)
    ),
    max_leaves=5,
).map(lambda template: template if isinstance(template, dict) else {"v": template})
OUTPUTS = st.recursive(
    SCALARS | MARKED | MARKED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
ERRORS = st.sampled_from([["States.ALL"], ["States.TaskFailed"], ["States.Timeout", "E"], ["E"]])
SECONDS = st.sampled_from([1, 2, 5, 60, 1000])
RETRIES = st.lists(
    optional(
        IntervalSeconds=SECONDS,
        MaxAttempts=st.integers(0, 4),
        BackoffRate=st.sampled_from([1, 2.0, 1.5, 1e300]),
        JitterStrategy=st.sampled_from(["FULL", "NONE"]),
    ),
    max_size=1,
)
RESOURCES = st.sampled_from(
    [
        *(LAMBDA, INVOKE, "arn:aws:states:::aws-sdk:s3:getObject", "arn:aws:states:::sqs:sendMessage"),
        *(f"{INVOKE}.waitForTaskToken", "arn:aws:states:us-east-1:123456789012:activity:a"),
    ]
)
TESTS = st.sampled_from(
    [
        *(
            ("StringEquals", "a"),
            ("StringMatches", "a*"),
            ("StringLessThanPath", "$.b"),
            ("NumericEquals", 1),
        ),
        *(("NumericGreaterThanPath", "$.a"), ("BooleanEquals", True), ("IsNull", False), ("IsPresent", True)),
        *(("TimestampLessThan", "2024-01-01T00:00:00Z"), ("IsString", True), ("IsTimestamp", True)),
    ]
)
COMPARISONS = st.recursive(
    st.builds(lambda path, test: {"Variable": path, test[0]: test[1]}, REFERENCES, TESTS),
    lambda inner: (
        st.builds(
            lambda operator, rules: {operator: rules},
            st.sampled_from(["And", "Or"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        | inner.map(lambda rule: {"Not": rule})
    ),
    max_leaves=4,
)
ODDITIES = JSON | ODD_PATHS | ODD_QUERIES | ODD_EXPRESSIONS | PATHS | MARKED

# Definitions -----------------------------------------------------------------------------------------------


class _States:
    """Makes the states of one machine.

    Args:
        draw: Where choices come from.
        language: The query language.
        names: Of the states.
        depth: How deep machines may be nested within.
    """

    def __init__(self, draw: st.DrawFn, language: str, names: list[str], depth: int) -> None:
        self._draw = draw
        self._jsonata = language == "JSONata"
        self._language = language
        self._names = names
        self._depth = depth

    def state(self, index: int) -> dict[str, Any]:
        last = index == len(self._names) - 1
        kinds = ["Pass", "Task", "Task", "Wait", *(["Succeed", "Fail"] if last else ["Choice"])]
        if self._depth:
            kinds += ["Map", "Map", "Parallel"]
        kind = self._draw(st.sampled_from(kinds))
        state: dict[str, Any] = {"Type": kind}
        if kind in ("Pass", "Task", "Wait", "Map", "Parallel"):
            state |= {"End": True} if last else {"Next": self._names[index + 1]}
            state |= self._some(
                Assign=st.dictionaries(VARIABLES, OUTPUTS, max_size=2) if self._jsonata else None
            )
        if kind != "Fail":
            paths = PATHS | st.none()
            state |= self._some(
                Output=OUTPUTS if self._jsonata else None,
                InputPath=None if self._jsonata else paths,
                OutputPath=None if self._jsonata else paths,
            )
        if kind in ("Task", "Map", "Parallel"):
            state |= self._recovery(index)
        fields = getattr(self, f"_{kind.lower()}", None)
        return state if fields is None else {**state, **fields(index)}

    def _some(self, **fields: st.SearchStrategy[Any] | None) -> dict[str, Any]:
        """Some of the fields that there can be."""
        return self._draw(optional(**{name: values for name, values in fields.items() if values is not None}))

    def _target(self, index: int) -> st.SearchStrategy[str]:
        """A later state; now and then an earlier one."""
        return st.sampled_from([*self._names[index + 1 :] * 8, *self._names[-1:] * 8, *self._names])

    def _recovery(self, index: int) -> dict[str, Any]:
        errors = ERRORS.map(lambda names: {"ErrorEquals": names})
        either: dict[str, Any] = {"Output": OUTPUTS} if self._jsonata else {"ResultPath": REFERENCES}
        catcher = st.builds(
            lambda names, target, more: {**names, "Next": target, **more},
            errors,
            self._target(index),
            optional(**either),
        )
        retriers = st.builds(lambda names, more: [{**names, **retrier} for retrier in more], errors, RETRIES)
        return self._some(Retry=retriers, Catch=st.lists(catcher, max_size=1))

    def _data(self) -> dict[str, Any]:
        if self._jsonata:
            return self._some(Arguments=OUTPUTS)
        return self._some(Parameters=TEMPLATES, ResultPath=REFERENCES | st.none(), ResultSelector=TEMPLATES)

    def _pass(self, _: int) -> dict[str, Any]:
        if self._jsonata:
            return {}
        return self._some(Parameters=TEMPLATES, ResultPath=REFERENCES | st.none(), Result=JSON)

    def _task(self, _: int) -> dict[str, Any]:
        resource = self._draw(RESOURCES)
        seconds = SECONDS | MARKED if self._jsonata else SECONDS
        return {"Resource": resource, **self._data(), **self._some(TimeoutSeconds=seconds)}

    def _choice(self, index: int) -> dict[str, Any]:
        test = MARKED.map(lambda text: {"Condition": text}) if self._jsonata else COMPARISONS
        rule = st.builds(lambda test, target: {**test, "Next": target}, test, self._target(index))
        return {
            "Choices": self._draw(st.lists(rule, min_size=1, max_size=3)),
            "Default": self._names[index + 1],
        }

    def _wait(self, _: int) -> dict[str, Any]:
        times = st.just("2024-01-01T00:00:00Z")
        if self._jsonata:
            waits = st.fixed_dictionaries({"Seconds": SECONDS | MARKED}) | st.fixed_dictionaries(
                {"Timestamp": times | MARKED}
            )
        else:
            waits = st.one_of(
                *(
                    st.fixed_dictionaries({name: values})
                    for name, values in (
                        ("Seconds", SECONDS),
                        ("Timestamp", times),
                        ("SecondsPath", REFERENCES),
                    )
                )
            )
        return self._draw(waits)

    def _fail(self, _: int) -> dict[str, Any]:
        if self._jsonata:
            return self._some(Error=TEXTS | MARKED, Cause=TEXTS | MARKED)
        return self._some(Error=TEXTS, CausePath=QUERIES)

    def _parallel(self, _: int) -> dict[str, Any]:
        branches = st.lists(machines(self._depth - 1, self._language), min_size=1, max_size=3)
        return {"Branches": self._draw(branches), **self._data()}

    def _map(self, _: int) -> dict[str, Any]:
        fields = self._data()
        fields.pop("Arguments", None)
        if "Parameters" in fields:
            fields["ItemSelector"] = fields.pop("Parameters")
        items: dict[str, Any] = {"ItemsPath": REFERENCES}
        if self._jsonata:
            items = {"Items": MARKED | st.lists(JSON, max_size=4), "ItemSelector": OUTPUTS}
        return {
            "ItemProcessor": self._draw(machines(self._depth - 1, self._language)),
            **fields,
            **self._some(MaxConcurrency=st.integers(0, 3), ToleratedFailureCount=st.just(1), **items),
        }


@st.composite
def machines(draw: st.DrawFn, depth: int = 2, language: str | None = None) -> dict[str, Any]:
    """A definition; with a language, the processor of a Map or a branch of a Parallel."""
    chosen = language or draw(st.sampled_from(["JSONPath", "JSONata"]))
    prefix = "" if language is None else f"{draw(st.integers(0, 10**9))}-"
    names = [f"{prefix}{name}" for name in "ABCD"[: draw(st.integers(1, 4))]]
    builder = _States(draw, chosen, names, depth)
    machine: dict[str, Any] = {
        "StartAt": names[0],
        "States": {name: builder.state(index) for index, name in enumerate(names)},
    }
    if language is None:
        machine |= {"QueryLanguage": chosen}
        machine |= draw(optional(TimeoutSeconds=st.sampled_from([1, 60, 10**6])))
    return machine


@st.composite
def broken(draw: st.DrawFn, definition: st.SearchStrategy[dict[str, Any]]) -> Any:
    """A definition in which something is replaced, removed or put in that does not belong there."""
    root: Any = {"": draw(definition)}
    for _ in range(draw(st.integers(1, 3))):
        _break(draw, root)
    return root.get("")


def _break(draw: st.DrawFn, root: Any) -> None:
    container, key = root, ""
    for _ in range(draw(st.integers(1, 7))):
        inner = container.get(key) if isinstance(container, dict) else container[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        container = inner
        key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
    change = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
    if change == "replace":
        container[key] = draw(ODDITIES)
    elif change == "remove":
        container.pop(key, None) if isinstance(container, dict) else container.pop(key)
    elif isinstance(container, dict):
        names = [
            "Next",
            "End",
            "Type",
            "Catch",
            "Iterator",
            "QueryLanguage",
            "Result",
            "x",
            "Seconds",
            "Items",
        ]
        container[draw(st.sampled_from(names))] = draw(ODDITIES)
