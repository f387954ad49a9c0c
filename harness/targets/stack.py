"""A stack on a local cloud: made, changed in place, and cleared of what a new template no longer has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cloud.errors import ServiceError
from harness.errors import HarnessError, TemplateError, UnsupportedError
from harness.project.bundle import Bundle
from harness.project.resolve import Resource, Stack
from harness.project.template import ARTIFACT_BUCKET
from harness.targets.base import Progress
from harness.targets.resources import TYPES, Call, ResourceKind

__all__ = ["LocalStack"]

Caller = Callable[[str, str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
Put = Callable[[str, str, bytes], object]

_MACHINE = "AWS::StepFunctions::StateMachine"
_SOURCES = ("Definition", "DefinitionString", "DefinitionS3Location", "DefinitionSubstitutions")


class LocalStack:
    """The one stack of a local cloud.

    Args:
        call: Calls a service.
        put: Stores an object.
        account: Of the cloud.
        region: Of the cloud.

    Attributes:
        resources: What stands, by logical id, as it was made.
        outputs: The template's outputs.
        parameters: The template's parameters.
    """

    def __init__(self, call: Caller, put: Put, account: str, region: str) -> None:
        self._call = call
        self._put = put
        self._account = account
        self._region = region
        self._stored: set[str] = set()
        self._buckets: set[str] = set()
        self.resources: dict[str, Resource] = {}
        self.outputs: Mapping[str, str] = {}
        self.parameters: Mapping[str, str] = {}

    async def deploy(self, bundle: Bundle, parameters: Mapping[str, str], on_progress: Progress) -> None:
        """Make the stack what the bundle says. What has not changed is not touched.

        Raises:
            UnsupportedError: A resource or property is not supported; nothing has been changed then.
            TemplateError: The template or a parameter's value is wrong; nothing has been changed then.
            TemplateError: A service refused to make a resource; those before it stand.
            HarnessError: A service failed to make one.
        """
        stack = bundle.stack(parameters=parameters, account=self._account, region=self._region)
        for logical_id in stack.order:
            resource = _prepared(bundle, stack.resource(logical_id))
            kind = _kind(bundle, resource)
            try:
                for _ in kind.create(resource):
                    pass  # the calls are made below; making them up refuses what is not supported
            except UnsupportedError as error:
                error.file = Path(bundle.contents.template_file)
                raise
        await self._store(bundle, stack)
        if new := sum(logical_id not in self.resources for logical_id in stack.order):
            on_progress(f"creating {new} resources")
        for logical_id in stack.order:
            await self._bring_about(bundle, stack, logical_id, on_progress)
        gone = [logical_id for logical_id in self.resources if logical_id not in stack.order]
        for logical_id in reversed(gone):
            on_progress(f"removing {logical_id}")
            await self._delete(self.resources.pop(logical_id))
        self.outputs, self.parameters = stack.outputs(), stack.parameters()

    async def _store(self, bundle: Bundle, stack: Stack) -> None:
        """Put the bundle's zips where the template says they are, like an upload to AWS."""
        bucket = stack.parameters().get(ARTIFACT_BUCKET)
        if bucket is None:
            return
        if bucket not in self._buckets:
            params: dict[str, Any] = {"Bucket": bucket}
            if self._region != "us-east-1":
                params["CreateBucketConfiguration"] = {"LocationConstraint": self._region}
            await self._call("s3", "CreateBucket", params)
            self._buckets.add(bucket)
        for artifact in bundle.artifacts.values():
            if artifact.key not in self._stored:
                self._put(bucket, artifact.key, bundle.file(artifact.key).read_bytes())
                self._stored.add(artifact.key)

    async def _bring_about(
        self, bundle: Bundle, stack: Stack, logical_id: str, on_progress: Progress
    ) -> None:
        new = _prepared(bundle, stack.resource(logical_id))
        kind = _kind(bundle, new)
        old = self.resources.get(logical_id)
        if old is not None and _same(old, new):
            stack.created(logical_id, old.physical_id, old.attributes)
            return
        try:
            if old is None:
                answer = await self._make(kind.create(new))
            elif kind.update is not None and (old.type, old.name) == (new.type, new.name):
                on_progress(f"updating {logical_id}")
                answer = await self._make(kind.update(old, new))
            else:
                on_progress(f"replacing {logical_id}")
                await self._delete(old)
                answer = await self._make(kind.create(new))
        except ServiceError as error:
            # A 4xx finds fault with what the template says, a 5xx with the local cloud.
            failure = TemplateError if error.status < 500 else HarnessError
            raise failure(
                f"{logical_id} ({new.type}) cannot be made: {error}",
                file=bundle.contents.template_file,
                place=f"Resources.{logical_id}",
            ) from error
        if kind.identity is not None:
            actual = answer[kind.identity]
            # Attributes that repeat the predicted id follow it.
            attributes = {
                name: actual if value == new.physical_id else value for name, value in new.attributes.items()
            }
            stack.created(logical_id, actual, attributes)
            new = replace(new, physical_id=actual, attributes=attributes)
        self.resources[logical_id] = new

    async def _make(self, calls: Any) -> dict[str, Any]:
        """Make the calls; the answer of the first."""
        first: dict[str, Any] | None = None
        for call in calls:
            answer = await self._one(call)
            first = answer if first is None else first
        return first or {}

    async def _one(self, call: Call) -> dict[str, Any]:
        try:
            return await self._call(call.service, call.operation, call.params)
        except ServiceError as error:
            if error.code not in call.tolerate:
                raise
            return {}

    async def _delete(self, resource: Resource) -> None:
        with suppress(ServiceError):  # what is gone already need not be removed
            await self._make(TYPES[resource.type].delete(resource))


def _same(old: Resource, new: Resource) -> bool:
    return (old.type, old.name, old.properties) == (new.type, new.name, new.properties)


def _kind(bundle: Bundle, resource: Resource) -> ResourceKind:
    if resource.type not in TYPES:
        raise UnsupportedError(
            f"{resource.logical_id} is of the type {resource.type}, which the local cloud does not make",
            file=bundle.contents.template_file,
            place=f"Resources.{resource.logical_id}",
            hint=f"it makes: {', '.join(TYPES)}",
        )
    return TYPES[resource.type]


def _prepared(bundle: Bundle, resource: Resource) -> Resource:
    """A state machine with its definition in place; any other resource as it is."""
    if resource.type != _MACHINE:
        return resource
    properties = {name: value for name, value in resource.properties.items() if name not in _SOURCES}
    return replace(resource, properties={**properties, "DefinitionString": bundle.definition(resource)})
