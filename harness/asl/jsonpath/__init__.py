"""The query language JSONPath: paths and their filters, intrinsic functions, and the queries that payload
templates are made of."""
