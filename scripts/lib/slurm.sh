# Sourced by tests: `start_slurm` brings up a Slurm of one node on this machine, as root; it ends with the script.

start_slurm() {
    [ "$(id -u)" = 0 ] || {
        echo "run this as root: it starts slurmctld, slurmd and munged" >&2
        exit 1
    }
    node=$(hostname -s)
    place=$(mktemp -d)
    export SLURM_CONF=$place/slurm.conf
    cat >"$SLURM_CONF" <<CONF
ClusterName=strefer
SlurmctldHost=$node
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
KillWait=60
# A job that was put back starts again at once, not after two minutes.
SchedulerParameters=requeue_delay=1
NodeName=$node CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=FORCE
CONF
    mkdir "$place/state" "$place/spool"

    trap stop_slurm EXIT
    mkdir -p /run/munge && chown munge /run/munge
    [ -e /etc/munge/munge.key ] || runuser -u munge -- mungekey --create
    pgrep -x munged >/dev/null || {
        runuser -u munge -- munged --foreground &
        daemons+=($!)
    }
    sleep 1
    slurmctld -D &
    daemons+=($!)
    slurmd -D -N "$node" &
    daemons+=($!)
    for _ in $(seq 60); do
        sinfo --noheader --format=%T 2>/dev/null | grep -q idle && break
        sleep 1
    done
    sinfo --noheader --format=%T | grep -q idle || {
        tail -n 20 "$place"/*.log >&2
        exit 1
    }
}

daemons=()
stop_slurm() {
    scancel --full --user root 2>/dev/null || true
    for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$place"
}
