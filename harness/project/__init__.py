"""From harness.toml and a template to the bundle: everything that will run, locally and on AWS.

project = Project.load()            # finds harness.toml here or above
bundle = project.build()            # .harness/bundles/<id>/
stack = resolve(bundle, parameters=project.settings.local, account=..., region=...)
for resource in stack.resources:    # in an order in which they can be created
    ...
"""

from harness.project.bundle import Artifact, Bundle, ImageContext, resolve
from harness.project.interpreters import nearest_interpreter
from harness.project.project import Project
from harness.project.resolve import ResolvedStack, Resource, Stack
from harness.project.settings import Settings
from harness.project.template import ARTIFACT_BUCKET

__all__ = [
    "ARTIFACT_BUCKET",
    "Artifact",
    "Bundle",
    "ImageContext",
    "Project",
    "ResolvedStack",
    "Resource",
    "Settings",
    "Stack",
    "nearest_interpreter",
    "resolve",
]
