#!/bin/sh
# Uvicorn, or Granian where HTTP/2 is asked for, which uvicorn does not speak.
set -eu
cd "$(dirname "$0")"
host=${HOST:-127.0.0.1} port=${PORT:-8080} workers=${WORKERS:-1}
if [ "${HTTP:-1}" = 2 ]; then
    # `auto`: HTTP/1.1 goes on working beside it.
    exec venv/bin/granian --interface asgi --http auto --no-ws --loop uvloop --host "$host" --port "$port" \
        --workers "$workers" --workers-kill-timeout 5 main:app
fi
exec venv/bin/uvicorn main:app --host "$host" --port "$port" --loop uvloop --http httptools --no-access-log \
    --timeout-graceful-shutdown 5 --workers "$workers"
