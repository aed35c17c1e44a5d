# sh -c TEXT MARK SECONDS WORKERS: busy loops, built-in commands only; see stress.py
read -r up rest </proc/uptime
end=$((${up%.*} + $1))
(
  trap '' HUP
  i=0
  while [ "$i" -lt "$2" ]; do
    (
      while read -r up rest </proc/uptime && [ "${up%.*}" -lt "$end" ]; do
        j=0
        while [ "$j" -lt 5000 ]; do j=$((j + 1)); done
      done
    ) &
    i=$((i + 1))
  done
  wait
) </dev/null >/dev/null 2>&1 &
