"""Shapes of a service model, compiled once into functions that read, check and write values.

A *decoder* turns a value from outside (see `harness.cloud.scalars`) into botocore's Python form and notes
every constraint the value breaks; an *encoder* does the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.cloud.constraints import constraints_of, label, null, problem
from harness.cloud.models import Shape
from harness.cloud.scalars import READERS, WRITERS, Encoder, Form, Reader, WrongType, kind, read

Decoder = Callable[[Any, str, list[str]], Any]
"""(value, path such as ``tags.1.member.key``, broken constraints so far) -> value in Python form."""


class Compiler:
    """Compiles the shapes of one service, each when first needed."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = shapes
        self._decoders: dict[tuple[str, Form], Decoder] = {}
        self._encoders: dict[tuple[str, Form], Encoder | None] = {}

    # Reading -----------------------------------------------------------------------------------------

    def decoder(self, name: str, form: Form) -> Decoder:
        """The decoder of a shape, its constraints included."""
        key = (name, form)
        found = self._decoders.get(key)
        if found is None:
            # A shape may contain itself: until it is compiled, it is reached through this.
            self._decoders[key] = lambda value, path, broken: self._decoders[key](value, path, broken)
            found = self._decoders[key] = self._compile_decoder(self._shapes[name], form)
        return found

    def _compile_decoder(self, shape: Shape, form: Form) -> Decoder:
        match shape["type"]:
            case "structure":
                return self._structure_decoder(shape, form)
            case "list":
                return _checked(shape, self._list_decoder(shape, form))
            case "map":
                return _checked(shape, self._map_decoder(shape, form))
            case scalar:
                return _checked(shape, _scalar_decoder(READERS[form][scalar]))

    def _structure_decoder(self, shape: Shape, form: Form) -> Decoder:
        members = {
            (ref.get("locationName", name) if form == "json" else name): (
                name,
                label(name),
                self.decoder(ref["shape"], form),
            )
            for name, ref in shape["members"].items()
        }
        required = shape.get("required", ())
        strict = form == "python"

        def decode(value: Any, path: str, broken: list[str]) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise WrongType(f"{kind(value)} can not be converted to a structure at '{path}'")
            prefix = f"{path}." if path else ""
            result = {}
            for key, item in value.items():
                member = members.get(key)
                if member is None:
                    if strict:
                        known = ", ".join(sorted(members))
                        broken.append(f"Unknown parameter '{prefix}{key}', must be one of: {known}")
                elif item is not None:
                    name, part, decoder = member
                    result[name] = decoder(item, prefix + part, broken)
            broken += [null(prefix + label(name)) for name in required if name not in result]
            return result

        return decode

    def _list_decoder(self, shape: Shape, form: Form) -> Decoder:
        item_shape = self._shapes[shape["member"]["shape"]]
        if _is_scalar(item_shape):
            reader = READERS[form][item_shape["type"]]
            constraints = constraints_of(item_shape)
            rule = f"Member must satisfy constraint: [{', '.join(text for _, text in constraints)}]"

            def decode_scalars(value: Any, path: str, broken: list[str]) -> list[Any]:
                items = [read(reader, item, path) for item in _as_list(value, path)]
                if not all(check(item) for item in items for check, _ in constraints):
                    broken.append(problem(shape, items, path, rule))
                return items

            return decode_scalars

        decoder = self.decoder(shape["member"]["shape"], form)

        def decode(value: Any, path: str, broken: list[str]) -> list[Any]:
            result = []
            for number, item in enumerate(_as_list(value, path), 1):
                place = f"{path}.{number}.member"
                if item is None:
                    broken.append(null(place))
                else:
                    result.append(decoder(item, place, broken))
            return result

        return decode

    def _map_decoder(self, shape: Shape, form: Form) -> Decoder:
        key_rules = constraints_of(self._shapes[shape["key"]["shape"]])
        key_rule = f"Map keys must satisfy constraint: [{', '.join(text for _, text in key_rules)}]"
        value_shape = self._shapes[shape["value"]["shape"]]
        scalar = _is_scalar(value_shape)
        value_rules = constraints_of(value_shape) if scalar else []
        value_rule = f"Map value must satisfy constraint: [{', '.join(text for _, text in value_rules)}]"
        decoder = self.decoder(shape["value"]["shape"], form)
        reader = READERS[form][value_shape["type"]] if scalar else None

        def decode(value: Any, path: str, broken: list[str]) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise WrongType(f"{kind(value)} can not be converted to a map at '{path}'")
            result = {}
            for key, item in value.items():
                if item is None:
                    continue
                if reader is None:
                    result[key] = decoder(item, f"{path}.{key}.member", broken)
                else:
                    result[key] = read(reader, item, path)
            if not all(check(key) for key in result for check, _ in key_rules):
                broken.append(problem(shape, result, path, key_rule))
            if not all(check(item) for item in result.values() for check, _ in value_rules):
                broken.append(problem(shape, result, path, value_rule))
            return result

        return decode

    # Writing -----------------------------------------------------------------------------------------

    def encoder(self, name: str, form: Form) -> Encoder | None:
        """The encoder of a shape; None when values go out as they are."""
        key = (name, form)
        if key not in self._encoders:
            self._encoders[key] = lambda value: encode(self._encoders[key], value)
            self._encoders[key] = self._compile_encoder(name, form)
        return self._encoders[key]

    def _compile_encoder(self, name: str, form: Form) -> Encoder | None:
        shape = self._shapes[name]
        match shape["type"]:
            case "structure":
                return self._structure_encoder(name, shape, form)
            case "list":
                item_encoder = self.encoder(shape["member"]["shape"], form)
                if item_encoder is None:
                    return None
                return lambda items: [item_encoder(item) for item in items]
            case "map":
                value_encoder = self.encoder(shape["value"]["shape"], form)
                if value_encoder is None:
                    return None
                return lambda mapping: {key: value_encoder(value) for key, value in mapping.items()}
            case scalar:
                return WRITERS[form].get(scalar)

    def _structure_encoder(self, name: str, shape: Shape, form: Form) -> Encoder:
        members = {
            member: (
                ref.get("locationName", member) if form == "json" else member,
                self.encoder(ref["shape"], form),
            )
            for member, ref in shape["members"].items()
        }

        def write(value: Mapping[str, Any]) -> dict[str, Any]:
            result = {}
            for key, item in value.items():
                if item is not None:
                    try:
                        wire, encoder = members[key]
                    except KeyError:
                        raise ValueError(f"the model's {name} has no member {key!r}") from None
                    result[wire] = item if encoder is None else encoder(item)
            return result

        return write


def encode(encoder: Encoder | None, value: Any) -> Any:
    """Apply an encoder, which may be None."""
    return value if encoder is None else encoder(value)


def _checked(shape: Shape, decode: Decoder) -> Decoder:
    constraints = constraints_of(shape)
    if not constraints:
        return decode

    def decode_and_check(value: Any, path: str, broken: list[str]) -> Any:
        result = decode(value, path, broken)
        for satisfied, rule in constraints:
            if not satisfied(result):
                broken.append(problem(shape, result, path, rule))
        return result

    return decode_and_check


def _is_scalar(shape: Shape) -> bool:
    return shape["type"] not in ("structure", "list", "map")


def _scalar_decoder(reader: Reader) -> Decoder:
    return lambda value, path, broken: read(reader, value, path)


def _as_list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise WrongType(f"{kind(value)} can not be converted to a list at '{path}'")
    return list(value)
