"""From an expanded template and parameter values to the resources that a stack consists of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from harness.errors import TemplateError, UnsupportedError
from harness.project.intrinsics import NO_VALUE, EvaluationError, Evaluator, references
from harness.project.parameters import parameter_values
from harness.project.resources import TYPES, Identity, Place
from harness.project.settings import nearest

__all__ = ["ResolvedStack", "Resource", "Stack"]

_PARTITIONS = {"cn-": ("aws-cn", "amazonaws.com.cn"), "us-gov-": ("aws-us-gov", "amazonaws.com")}


@dataclass(frozen=True)
class Resource:
    """A resource as it is to be created.

    Attributes:
        logical_id: Its name in the template.
        type: ``AWS::Lambda::Function``.
        name: The name it has in its service, given or generated.
        physical_id: What Ref yields.
        properties: Its properties, with nothing left to evaluate.
        attributes: What Fn::GetAtt yields.
        depends_on: Logical ids of the resources it needs, sorted.
    """

    logical_id: str
    type: str
    name: str
    physical_id: str
    properties: Mapping[str, Any]
    attributes: Mapping[str, str]
    depends_on: tuple[str, ...]


@dataclass(frozen=True)
class ResolvedStack:
    """A whole stack.

    Attributes:
        resources: In an order in which they can be created.
        outputs: Values of the template's Outputs.
        parameters: Values of its parameters; lists joined by commas.
    """

    resources: tuple[Resource, ...]
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    def resource(self, logical_id: str) -> Resource:
        """The resource of that name.

        Raises:
            KeyError: There is none.
        """
        for resource in self.resources:
            if resource.logical_id == logical_id:
                return resource
        raise KeyError(logical_id)


class Stack:
    """A template with parameter values, evaluated one resource at a time.

    Whoever creates the resources walks `order`, asks `resource` for each and, where the service gave another
    identity than predicted (the version number of a layer, say), tells `created`; what refers to it
    then gets the real one.

    Args:
        template: A CloudFormation template without transforms.
        file: The file it was made from, for messages.
        parameters: Parameter values by name.
        account: Twelve digits.
        region: e.g. ``us-east-1``.
        stack: Name of the stack.

    Raises:
        TemplateError: The template or a value is wrong; resources refer to each other in a circle.
        UnsupportedError: A resource is of a type that is not supported.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        *,
        file: Path,
        parameters: Mapping[str, str],
        account: str,
        region: str,
        stack: str,
    ) -> None:
        partition, suffix = next(
            (names for prefix, names in _PARTITIONS.items() if region.startswith(prefix)),
            ("aws", "amazonaws.com"),
        )
        self._template = template
        self._file = file
        self._place = Place(account, region, partition, suffix, stack)
        self._parameters = parameter_values(template.get("Parameters", {}), parameters, file)
        self._evaluator = Evaluator(self)
        self._conditions: dict[str, bool | None] = {}
        self._told: dict[str, Identity] = {}
        self._identities: dict[str, Identity] = {}
        self._properties: dict[str, Mapping[str, Any]] = {}
        self._dependencies = {logical_id: self._needs(logical_id) for logical_id in self._wanted()}
        self.order: tuple[str, ...] = tuple(self._sorted())

    def resource(self, logical_id: str) -> Resource:
        """A resource with everything evaluated.

        Raises:
            TemplateError, UnsupportedError: A property cannot be evaluated.
        """
        identity = self._identity(logical_id)
        return Resource(
            logical_id,
            self._template["Resources"][logical_id]["Type"],
            identity.name,
            identity.reference,
            self._evaluated(logical_id),
            identity.attributes,
            self._dependencies[logical_id],
        )

    def created(self, logical_id: str, physical_id: str, attributes: Mapping[str, str]) -> None:
        """Say what the service made of a resource; attributes that are not given stay as predicted."""
        predicted = self._identity(logical_id)
        self._told[logical_id] = Identity(predicted.name, physical_id, {**predicted.attributes, **attributes})
        self._identities = dict(self._told)
        self._properties.clear()

    def outputs(self) -> dict[str, str]:
        """Values of the Outputs whose condition holds.

        Raises:
            TemplateError, UnsupportedError: One cannot be evaluated.
        """
        values = {}
        for name, output in self._template.get("Outputs", {}).items():
            if "Condition" in output and not self._holds(output["Condition"], f"Outputs.{name}"):
                continue
            value = self._evaluate(output.get("Value"), f"Outputs.{name}")
            values[name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return values

    def parameters(self) -> dict[str, str]:
        """Values of the parameters; lists joined by commas."""
        return {
            name: ",".join(value) if isinstance(value, list) else value
            for name, value in self._parameters.items()
        }

    def resolve(self) -> ResolvedStack:
        """All resources and outputs, as predicted."""
        resources = tuple(self.resource(logical_id) for logical_id in self.order)
        return ResolvedStack(resources, self.outputs(), self.parameters())

    # What names stand for (`intrinsics.Scope`) ---------------------------------------------------------

    def ref(self, name: str) -> Any:
        if name in self._parameters:
            return self._parameters[name]
        if name in self._template["Resources"]:
            return self._identity(name).reference
        pseudo = {
            "AWS::AccountId": self._place.account,
            "AWS::Partition": self._place.partition,
            "AWS::Region": self._place.region,
            "AWS::StackName": self._place.stack,
            "AWS::URLSuffix": self._place.suffix,
            "AWS::StackId": self._place.arn("cloudformation", f"stack/{self._place.stack}/harness"),
        }
        if name in pseudo:
            return pseudo[name]
        if name == "AWS::NotificationARNs":
            return []
        known = [*self._parameters, *self._template["Resources"], *pseudo]
        hint = nearest(name, known) if known else None
        raise EvaluationError(f"there is no parameter or resource {name}" + (f" ({hint})" if hint else ""))

    def attribute(self, logical_id: str, name: str) -> Any:
        if logical_id not in self._template["Resources"]:
            hint = nearest(logical_id, self._template["Resources"])
            raise EvaluationError(f"there is no resource {logical_id} ({hint})")
        attributes = self._identity(logical_id).attributes
        if name not in attributes:
            kind = self._template["Resources"][logical_id]["Type"]
            known = ", ".join(attributes) or "none"
            raise EvaluationError(
                f"{logical_id} ({kind}) has no attribute {name}; known: {known}", unsupported=True
            )
        return attributes[name]

    def condition(self, name: str) -> bool:
        declared = self._template.get("Conditions", {})
        if name not in declared:
            raise EvaluationError(f"there is no condition {name}")
        if name in self._conditions:
            known = self._conditions[name]
            if known is None:
                raise EvaluationError(f"condition {name} depends on itself")
            return known
        self._conditions[name] = None
        value = self._evaluator.evaluate(declared[name])
        if not isinstance(value, bool):
            raise EvaluationError(f"condition {name} is neither true nor false")
        self._conditions[name] = value
        return value

    def mapping(self, *keys: str) -> Any:
        value: Any = self._template.get("Mappings", {})
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise EvaluationError(f"Fn::FindInMap: there is no {'.'.join(keys)} in the Mappings")
            value = value[key]
        return value

    def zones(self, region: str) -> list[str]:
        return [f"{region or self._place.region}{letter}" for letter in "abc"]

    # Resources ---------------------------------------------------------------------------------------

    def _wanted(self) -> Iterator[str]:
        """The resources whose condition holds."""
        for logical_id, resource in self._template["Resources"].items():
            kind = resource["Type"]
            if "Condition" in resource and not self._holds(resource["Condition"], f"Resources.{logical_id}"):
                continue
            if kind not in TYPES:
                raise UnsupportedError(
                    f"{logical_id} is of the type {kind}, which is not supported",
                    file=self._file,
                    place=f"Resources.{logical_id}",
                    hint=f"supported are {', '.join(TYPES)}",
                )
            yield logical_id

    def _needs(self, logical_id: str) -> tuple[str, ...]:
        resource = self._template["Resources"][logical_id]
        explicit = resource.get("DependsOn", [])
        names = {explicit} if isinstance(explicit, str) else set(explicit)
        for name in names - set(self._template["Resources"]):
            self._fail(
                f"{logical_id} depends on {name}, which does not exist", f"Resources.{logical_id}.DependsOn"
            )
        names |= set(references(resource.get("Properties", {})))
        # A dependency on a resource that a condition has removed is no dependency.
        wanted = {
            name
            for name in names & set(self._template["Resources"])
            if "Condition" not in (other := self._template["Resources"][name])
            or self._holds(other["Condition"], f"Resources.{name}")
        }
        return tuple(sorted(wanted))

    def _sorted(self) -> Iterator[str]:
        """Depth first: a resource comes right after what it needs, otherwise the template's order holds."""
        done: set[str] = set()
        path: list[str] = []

        def visit(logical_id: str) -> Iterator[str]:
            if logical_id in done:
                return
            if logical_id in path:
                circle = " -> ".join([*path[path.index(logical_id) :], logical_id])
                self._fail(f"resources depend on each other in a circle: {circle}", f"Resources.{logical_id}")
            path.append(logical_id)
            for name in self._dependencies[logical_id]:
                yield from visit(name)
            path.pop()
            done.add(logical_id)
            yield logical_id

        for logical_id in self._dependencies:
            yield from visit(logical_id)

    def _identity(self, logical_id: str) -> Identity:
        if logical_id not in self._dependencies:
            raise EvaluationError(f"{logical_id} is left out, as its condition does not hold")
        if logical_id not in self._identities:
            kind = TYPES[self._template["Resources"][logical_id]["Type"]]
            properties = self._evaluated(logical_id)
            given = properties.get(kind.name_property) if kind.name_property else None
            name = str(given) if given is not None else kind.generated_name(logical_id, self._place)
            self._identities[logical_id] = kind.identify(name, properties, self._place)
        return self._identities[logical_id]

    def _evaluated(self, logical_id: str) -> Mapping[str, Any]:
        if logical_id not in self._properties:
            properties = self._template["Resources"][logical_id].get("Properties", {})
            self._properties[logical_id] = {
                name: value
                for name, raw in properties.items()
                if (value := self._evaluate(raw, f"Resources.{logical_id}.Properties.{name}")) is not NO_VALUE
            }
        return self._properties[logical_id]

    def _evaluate(self, value: Any, place: str) -> Any:
        try:
            return self._evaluator.evaluate(value)
        except EvaluationError as error:
            if error.unsupported:
                raise UnsupportedError(error.message, file=self._file, place=place) from error
            raise TemplateError(error.message, file=self._file, place=place) from error

    def _holds(self, condition: Any, place: str) -> bool:
        return bool(self._evaluate({"Condition": condition}, place))

    def _fail(self, message: str, place: str) -> NoReturn:
        raise TemplateError(message, file=self._file, place=place)
