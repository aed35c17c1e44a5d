"""python3 -c TEXT MARK SECONDS PORT PATH: after SECONDS, POST to PATH of the container's server until it answers."""

import os
import sys
import time
import urllib.request


def main() -> None:
    seconds, port, path = float(sys.argv[2]), sys.argv[3], sys.argv[4]
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    time.sleep(seconds)
    for _ in range(60):
        try:
            request = urllib.request.Request("http://127.0.0.1:" + port + path, data=b"", method="POST")
            urllib.request.urlopen(request, timeout=10).read()
            return
        except OSError:
            time.sleep(1)


main()
