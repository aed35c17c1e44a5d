# What `up`, `down` and `load-image` share. Sourced by bash.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
T=${TESTBED:-/var/tmp/testbed}
node_ip=10.244.0.1 # the pods' bridge: nothing listens on an address that another machine can reach
cgroup=smartops-testbed # every pod is below it, so that what is found there is ours
chains='(KUBE-|CNI-|TESTBED-)'
# What the kubelet and kube-proxy change.
sysctls=(net.ipv4.ip_forward net.ipv4.conf.all.route_localnet net.bridge.bridge-nf-call-iptables
  vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
export PATH=$T/bin:$T/debian/usr/bin:$PATH

say() { echo "testbed: $*" >&2; }
fail() { say "$*"; exit 1; }
need_root() {
  [ "$(id -u)" = 0 ] || fail "this needs root: it starts containers and changes iptables. Any other cluster serves as well: set KUBECONFIG."
}
one_at_a_time() { # until this script ends
  mkdir -p -m 700 "$T"
  exec {lock}>"$T/lock"
  flock -w 600 "$lock" || fail "another up or down has been at work for 10 minutes: see $T/lock"
}

born() { # PID: when, in clock ticks since boot: with the pid that names a process. Fails if it is gone or a zombie.
  local fields
  fields=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) && [ "${fields%% *}" != Z ] && cut -d' ' -f20 <<<"$fields"
}
pid_of() { # NAME: its pid if it runs, else fails
  local pid ticks
  read -r pid ticks 2>/dev/null <"$T/run/$1.pid" && [ -n "$ticks" ] && [ "$(born "$pid")" = "$ticks" ] && echo "$pid"
}
kill_all() { # PIDS...: TERM, after 5 s KILL; returns when they are gone
  local pid left
  for pid; do kill "$pid" 2>/dev/null || true; done
  for _ in $(seq 50); do
    left=(); for pid; do born "$pid" >/dev/null && left+=("$pid"); done
    [ ${#left[@]} -eq 0 ] && return
    sleep 0.1
  done
  kill -KILL "${left[@]}" 2>/dev/null || true
}
stop() { # NAMES...
  local name pid pids=()
  for name; do pid=$(pid_of "$name") && pids+=("$pid"); done
  [ ${#pids[@]} -eq 0 ] || kill_all "${pids[@]}"
  for name; do rm -f "$T/run/$name.pid"; done
}
end_pods() { # whatever is left of containers when nothing supervises them
  local file pid
  for _ in $(seq 100); do
    local found=false
    for file in $(find /sys/fs/cgroup -path "*/$cgroup/*" -name cgroup.procs 2>/dev/null); do
      for pid in $(cat "$file" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null && found=true; done
    done
    $found || break
    sleep 0.05
  done
  for file in /proc/[0-9]*/cmdline; do
    if { tr '\0' ' ' <"$file"; } 2>/dev/null | grep -q "^[^ ]*containerd-shim.* -address $T/containerd.sock"; then
      pid=${file#/proc/}; kill -KILL "${pid%/cmdline}" 2>/dev/null || true
    fi
  done
  find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null || true
}
