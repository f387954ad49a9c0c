"""The functions and layers of an account, and how requests name them."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from harness.cloud.errors import ServiceError
from harness.cloud.functions.model import (
    LATEST,
    Function,
    FunctionName,
    LayerVersion,
    Version,
    invalid,
    not_found,
    parse_layer,
)
from harness.cloud.service import CloudContext

T = TypeVar("T")

PAGE = 50
"""Most items of one page, and how many one gets when one does not say."""


class Registry:
    """Every function and every layer.

    Args:
        cloud: The cloud, for its account, region, clock and entropy.

    Attributes:
        functions: By name.
        layers: Versions by number, by name of the layer.
    """

    def __init__(self, cloud: CloudContext) -> None:
        self._cloud = cloud
        self.functions: dict[str, Function] = {}
        self.layers: dict[str, dict[int, LayerVersion]] = {}
        self._layer_numbers: dict[str, int] = {}

    def function_arn(self, name: str, qualifier: str | None = None) -> str:
        """ARN of a function, whether it exists or not."""
        return self._cloud.arn("lambda", f"function:{name}" + (f":{qualifier}" if qualifier else ""))

    def layer_arn(self, name: str) -> str:
        """ARN of a layer, whether it exists or not."""
        return self._cloud.arn("lambda", f"layer:{name}")

    def revision(self) -> str:
        """A new RevisionId."""
        return str(uuid.UUID(int=self._cloud.entropy.getrandbits(128), version=4))

    def find(self, text: str, qualifier: str | None = None) -> tuple[Function, str | None]:
        """The function a request names, and its qualifier.

        Raises:
            ServiceError: ResourceNotFoundException; InvalidParameterValueException: two qualifiers.
        """
        named = FunctionName.parse(text)
        if qualifier is not None and named.qualifier not in (None, qualifier):
            raise invalid(
                "The derived qualifier from the function name does not match the specified qualifier."
            )
        qualifier = qualifier or named.qualifier
        function = self.functions.get(named.name)
        elsewhere = named.account not in (None, self._cloud.account) or named.region not in (
            None,
            self._cloud.region,
        )
        if function is None or elsewhere:
            arn = self.function_arn(named.name, qualifier)
            raise not_found(f"Function not found: {text if elsewhere else arn}")
        return function, qualifier

    def version(self, function: Function, qualifier: str | None) -> Version:
        """The version behind a qualifier: a number, $LATEST, or an alias, whose routing is followed.

        Raises:
            ServiceError: ResourceNotFoundException.
        """
        if qualifier in (None, LATEST):
            return function.latest
        assert qualifier is not None
        alias = function.aliases.get(qualifier)
        if alias is not None:
            qualifier = alias["FunctionVersion"]
            chance = self._cloud.entropy.random() if alias.get("RoutingConfig") else 1.0
            for other, weight in alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}).items():
                chance -= weight
                if chance < 0:
                    qualifier = other
                    break
        version = function.versions.get(qualifier)
        if version is None:
            raise not_found(f"Function not found: {function.arn}:{qualifier}")
        return version

    def check_revision(self, given: str | None, current: str) -> None:
        """Refuse an update based on a state that is no longer the current one.

        Raises:
            ServiceError: PreconditionFailedException.
        """
        if given is not None and given != current:
            raise ServiceError(
                "PreconditionFailedException",
                "The RevisionId provided does not match the latest RevisionId. Call the GetFunction/GetAlias "
                "API to retrieve the latest RevisionId",
                status=412,
                fields={"Type": "User"},
            )

    def layer(self, arn: str) -> LayerVersion:
        """The layer version a function refers to.

        Raises:
            ServiceError: InvalidParameterValueException.
        """
        name, number = parse_layer(arn)
        version = self.layers.get(name, {}).get(number or 0)
        if version is None or version.arn != arn:
            raise invalid(f"Layer version {arn} does not exist.")
        return version

    def next_layer_number(self, name: str) -> int:
        """Number for a new version of a layer; no number is given twice."""
        self._layer_numbers[name] = self._layer_numbers.get(name, 0) + 1
        return self._layer_numbers[name]


def page(
    items: Sequence[T], params: dict[str, Any], key: Callable[[T], str]
) -> tuple[list[T], dict[str, str]]:
    """One page of a list, by the request's Marker and MaxItems.

    Args:
        items: All of them, in the order of the list.
        params: The request.
        key: What tells an item from the others.

    Returns:
        The items, and ``{"NextMarker": ...}`` if there are more.

    Raises:
        ServiceError: InvalidParameterValueException: the marker is none of ours.
    """
    start = 0
    marker = params.get("Marker")
    if marker:
        try:
            last = base64.urlsafe_b64decode(marker).decode()
        except ValueError as error:
            raise invalid("Marker is invalid.") from error
        positions = [position for position, item in enumerate(items) if key(item) == last]
        if not positions:
            raise invalid("Marker is invalid.")
        start = positions[0] + 1
    end = start + min(params.get("MaxItems", PAGE), PAGE)
    shown = list(items[start:end])
    if end >= len(items):
        return shown, {}
    return shown, {"NextMarker": base64.urlsafe_b64encode(key(shown[-1]).encode()).decode()}
