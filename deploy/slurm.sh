#!/usr/bin/env bash
# One sweep on Slurm: brings up Ray on the nodes of the allocation and drives the sweep from the first of them.
#
#   export LOSSWEEP_DATABASE=postgresql://user:password@host/database   # or with the password in ~/.pgpass
#   export LOSSWEEP_HOME=/shared/lossweep
#   sbatch --nodes=4 --gpus-per-node=2 deploy/slurm.sh sweep.yaml
#
# Whatever follows the script's name goes to `lossweep submit --yes`. Submitted again, or requeued, it goes on where the sweep stood. Five
# minutes before the time limit the driver ends in good order, and the job puts itself back into the queue until the sweep is done.
#SBATCH --job-name=lossweep
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: sbatch deploy/slurm.sh SWEEP.yaml [OPTIONS OF lossweep submit]" >&2; exit 2; }
[ -n "${LOSSWEEP_HOME:-}" ] || { echo "LOSSWEEP_HOME: name a folder that all nodes see" >&2; exit 2; }
[ -n "${LOSSWEEP_DATABASE:-}" ] || { # the next allocation may have other nodes, and must find the sweep
  echo "LOSSWEEP_DATABASE: name a PostgreSQL database that all nodes reach" >&2; exit 2; }

# A port of its own for each job: nodes may be shared. Ray's sockets need a short path.
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_TMPDIR=/tmp/ray-$SLURM_JOB_ID
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
# Made for this allocation, and handed on in the environment, which other users can't read.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN
export OMP_NUM_THREADS=1
# Each node decodes the images once, onto a disk of its own.
export LOSSWEEP_CACHE=${LOSSWEEP_CACHE:-${TMPDIR:-/tmp}/lossweep-cache-$UID}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address | awk '{print $1}'):$port
resources=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}")

mkdir -p "$LOSSWEEP_HOME/logs"
start_ray() { # on one node, until the allocation ends: start_ray NODE OPTIONS...
  local node=$1
  shift
  # Workers run users' code: they do not see the database's address.
  srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" --output="$LOSSWEEP_HOME/logs/ray-%j-$node.log" \
    env -u LOSSWEEP_DATABASE -u PGPASSWORD ray start "$@" "${resources[@]}" --block --disable-usage-stats &
}

start_ray "${nodes[0]}" --head --port="$port" --include-dashboard=false
until ray health-check --address="$address" >/dev/null 2>&1; do
  kill -0 $! 2>/dev/null || { echo "Ray did not start on ${nodes[0]}: see $LOSSWEEP_HOME/logs" >&2; exit 1; }
  sleep 1
done
for node in "${nodes[@]:1}"; do start_ray "$node" --address="$address"; done

lossweep submit --yes --cluster "$address" "$@" &
driver=$!
trap 'kill -USR1 "$driver"' USR1 TERM
code=0
wait "$driver" || code=$?
# A trapped signal ends the first wait; the second is for the driver's own end.
if kill -0 "$driver" 2>/dev/null; then code=0; wait "$driver" || code=$?; fi

# 130: interrupted in good order, with trials left to train.
[ "$code" != 130 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$code"
