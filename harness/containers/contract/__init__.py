"""What SageMaker promises a container: the folders, files, environment and command it starts with.

One module for each kind of container. They write and read the folders and describe the containers; they
neither start anything nor talk to anybody: the jobs of `harness.cloud.sagemaker` do.
"""
