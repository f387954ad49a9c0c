"""Scenarios: stories that a pipeline must replay, and what became of them.

A file is read strictly (`yamlfile`, `load`) into a `model.Scenario`. `replay` meets it with a deployed
pipeline (`binding`), puts its data in place (`s3`), lets its `faults` loose, watches what happens (`observe`,
`history`), compares that with its `expectations`, and keeps a `record`. `workbench` goes the whole way from a
project's folder; `remote` does so in the process of a cloud that is already up.
"""
