# sh -c TEXT MARKED ID show|kill: "pid state user-ticks system-ticks bytes" of every process that carries the mark of ID.
# Built-in commands only. Kill goes on until none is left.
id=$1
doing=$2
rounds=0
while [ "$rounds" -lt 100 ]; do
  found=
  for d in /proc/[0-9]*; do
    line=
    while IFS= read -r part || [ -n "$part" ]; do line="$line$part"; done 2>/dev/null <"$d/cmdline"
    case $line in
    *"smartops-chaos-fault=$id;"*)
      pid=${d#/proc/}
      stat=
      read -r stat <"$d/stat"
      set -- ${stat##*) }
      bytes=0
      [ -e "$d/fdinfo/9" ] && read -r _ bytes <"$d/fdinfo/9"
      [ "$rounds" -eq 0 ] && echo "$pid ${1:-X} ${12:-0} ${13:-0} $bytes"
      [ "$doing" = kill ] && kill -9 "$pid" && found=yes
      ;;
    esac
  done 2>/dev/null
  [ -z "$found" ] && exit 0
  rounds=$((rounds + 1))
done
exit 1
