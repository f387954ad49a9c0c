"""Settings of the web server.

The model is loaded once, before the workers are forked; each worker answers several requests at a time.
"""

import os
from pathlib import Path

bind = f"0.0.0.0:{os.environ.get('SAGEMAKER_BIND_TO_PORT', '8080')}"
worker_class = "gthread"
workers = int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or min(os.cpu_count() or 1, 4))
threads = 8
preload_app = True
# SageMaker gives a reply 60 seconds; a worker that makes no progress for as long is replaced.
timeout = int(os.environ.get("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60"))
keepalive = 75  # longer than an idle client keeps a connection, so that none is closed under a request
graceful_timeout = 20  # of the 30 seconds between SageMaker's SIGTERM and SIGKILL
errorlog = "-"
loglevel = "info"
if Path("/dev/shm").is_dir():
    worker_tmp_dir = (
        "/dev/shm"  # workers report that they live through a file, which must not be on a slow disk
    )
