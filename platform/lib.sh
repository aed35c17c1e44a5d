# shellcheck shell=bash disable=SC2034
# What the scripts of this folder share. Sourced by bash.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:${XDG_CACHE_HOME:-$HOME/.cache}/smartops-chaos-tools # after the machine's own programs

say() { echo "$(basename "$0"): $*" >&2; }
fail() { say "$*"; exit 1; }
described() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; } # the script's own first lines say how it is used
usage() { # WHAT IS WRONG
  say "$*"
  described >&2
  exit 2
}
for word; do case $word in -h | --help) described; exit 0 ;; --) break ;; esac; done
need() { # PROGRAMS...
  local program
  for program; do
    command -v "$program" >/dev/null || { say "the program $program is missing; if it is a Go program, './platform/tools $program' may build it"; exit 4; }
  done
  # Helm 4 has another word for it.
  if [ "${1:-}" = helm ]; then
    put_back=(--atomic)
    case $(helm version --short) in v4*) put_back=(--rollback-on-failure) ;; esac
  fi
}
namespace_of() { if [ "$1" = telemetry ]; then echo telemetry; else echo "${prefix:-smartops}-$1"; fi; }
json() { # EXPRESSION in Python over `found`, the JSON at stdin
  python3 -c "import json,sys; found=json.load(sys.stdin); print($1)"
}
history_of() { # RELEASE NAMESPACE: as JSON, [] if there is none. A cluster that does not answer is not one without it
  local said
  { said=$(helm history "$1" --namespace "$2" --output json 2>&1 1>&3); } 3>&1 && return
  [[ $said == *"release: not found"* ]] || { say "the release $1 cannot be asked for: $said"; return 1; }
  echo '[]'
}
state() { # RELEASE NAMESPACE: of its newest revision, such as deployed; empty if there is none
  local history
  history=$(history_of "$1" "$2") || return
  json 'found[-1]["status"] if found else ""' <<<"$history"
}
revision() { helm history "$1" --namespace "$2" --output json | json 'found[-1]["revision"]'; } # RELEASE NAMESPACE

mend() { # RELEASE NAMESPACE TIMEOUT NOW: whatever a killed helm has left: it refuses everything while a release is "pending" or "uninstalling"
  local history state since good
  history=$(history_of "$1" "$2")
  state=$(json 'found[-1]["status"] if found else ""' <<<"$history")
  [[ $state == pending-* || $state == uninstalling ]] || return 0
  since=$(json 'found[-1]["updated"]' <<<"$history")
  # helm itself gives up after its time: what is older has nobody at work on it.
  if ! $4 && [ "$(($(date +%s) - $(date -d "$since" +%s)))" -lt "$(seconds "$3")" ]; then
    say "the release $1 is $state since $since: another deploy may be at work. Wait for it; or, if you know that it was killed: --mend"
    exit 3
  fi
  good=0 # what was being taken away is taken away
  [ "$state" = uninstalling ] || good=$(json '([r["revision"] for r in found if r["status"] == "deployed"] or [r["revision"] for r in found if r["status"] == "superseded"] or [0])[-1]' <<<"$history")
  if [ "$good" = 0 ]; then
    say "the release $1 is $state since $since, with nothing to go back to: taking it away"
    helm uninstall "$1" --namespace "$2" --wait --timeout "$3" >/dev/null
  else
    say "the release $1 is $state since $since: back to revision $good first"
    helm rollback "$1" "$good" --namespace "$2" --wait --timeout "$3" >/dev/null
  fi
}
why() { # NAMESPACE SINCE: of what the cluster has warned since then (as date -u +%FT%TZ), each once: what was put back tells nothing any more
  kubectl get events --namespace "$1" --field-selector type=Warning --output json 2>/dev/null | json '"\n".join(dict.fromkeys(
    "  %s: %s" % (e["involvedObject"]["name"], e["message"][:300]) for e in found["items"] if (e.get("lastTimestamp") or e.get("eventTime") or "") >= "'"$2"'"))' | tail -n 8
}
seconds() { # 90, 90s, 5m or 1h
  local number=${1%[smh]}
  case $1 in *m) echo $((number * 60)) ;; *h) echo $((number * 3600)) ;; *) echo "$number" ;; esac
}
tested() { # RELEASE NAMESPACE: whether its `helm test` passes; if not, what the test said
  helm test "$1" --namespace "$2" --timeout 3m >/dev/null 2>&1 && return
  kubectl --namespace "$2" logs smartops-test >&2 || true
  return 1
}
