"""Map states: INLINE ones, whose iterations are threads of the execution, and DISTRIBUTED ones, whose items
come from the input or from S3 and are processed by child executions."""
