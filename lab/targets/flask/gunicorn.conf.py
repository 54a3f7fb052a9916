"""How gunicorn runs it; gunicorn finds this file by its name."""

import os

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8080')}"
workers = int(os.environ.get("WORKERS", "1"))
worker_class = "gthread"
# As many as can have a connection to the database; with fewer than four a slow request would keep the others waiting.
threads = max(4, int(os.environ.get("POOL_SIZE", "10")) // workers)
# Beyond the default of 1,000 a connection is closed after its answer.
worker_connections = 10_000
# Longer than a proxy in front keeps its connections: that one is to close them.
keepalive = 75
graceful_timeout = 5
# The workers' heartbeat is not to wait for a disk.
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
