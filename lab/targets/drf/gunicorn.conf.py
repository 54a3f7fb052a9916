"""How gunicorn runs it; gunicorn finds this file by its name."""

import os

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8080')}"
workers = int(os.environ.get("WORKERS", "1"))
worker_class = "gthread"
# On SQLite and MariaDB Django keeps a connection for each thread, so there may be no more of them than of connections.
threads = max(1, int(os.environ.get("POOL_SIZE", "10")) // workers)
# Beyond the default of 1,000 a connection is closed after its answer.
worker_connections = 10_000
# Longer than a proxy in front keeps its connections: that one is to close them.
keepalive = 75
graceful_timeout = 5
# The workers' heartbeat is not to wait for a disk.
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
