"""Targets: places where a pipeline can live (`base`). So far one: the `embedded` local cloud.

`stack` turns a bundle's template into the API calls of `resources`; `standing` finds the cloud that
`harness up` keeps; `examine` looks at what this machine can do.
"""
