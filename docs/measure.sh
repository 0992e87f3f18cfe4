#!/bin/sh
# Measures what the README states: cold start (first run with initdb, later runs) and idle memory.
# Usage: docs/measure.sh [BINARY]   (default target/release/mandate; nothing but a shell and curl needed)
set -eu
binary=${1:-target/release/mandate}
home=$(mktemp -d); chmod 755 "$home"
trap 'rm -rf "$home"' EXIT
now() { date +%s%N; }
start() {
    began=$(now)
    MANDATE_HOME="$home" "$binary" --listen 127.0.0.1:18480 --health-listen 127.0.0.1:18481 >"$home/out" 2>"$home/err" &
    pid=$!
    until curl -sf -o /dev/null http://127.0.0.1:18481/readyz; do kill -0 "$pid" || { cat "$home/err"; exit 1; }; sleep 0.01; done
    echo "$1: $((($(now) - began) / 1000000)) ms from the command to ready"
}
stop() { kill -TERM "$pid"; wait "$pid"; }
echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(awk '/MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo)"
start "first run, initdb and the demo world included"
sleep 10
awk '/VmRSS/ {printf "idle memory after 10 s of the run that loaded the world: %.1f MiB\n", $2 / 1024}' "/proc/$pid/status"
stop
for n in 2 3 4; do
    start "run $n"
    [ "$n" = 4 ] || stop
done
sleep 10
awk '/VmRSS/ {printf "idle memory after 10 s: %.1f MiB\n", $2 / 1024}' "/proc/$pid/status"
stop
