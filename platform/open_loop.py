"""open_loop: a GET to URL every 100 ms, whatever becomes of the ones before, until SIGTERM; then one line of JSON.

usage: open_loop.py URL      -> {"sent": 412, "lost": 0, "first": "", "down_s": 0.0}      An answer is awaited for 30 s.
down_s: from the first lost request to the last one, at most so long nobody was served.
"""

import json
import signal
import sys
import threading
import time
import urllib.request

PERIOD_S, PATIENCE_S = 0.1, 30.0


def main() -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    lost: list[tuple[float, str]] = []

    def ask(sent_s: float) -> None:
        try:
            with urllib.request.urlopen(sys.argv[1], timeout=PATIENCE_S) as answer:
                answer.read()
        except OSError as error:
            lost.append((sent_s, str(error)))

    asked: list[threading.Thread] = []
    due_s = time.monotonic()
    while not ended.wait(max(0.0, due_s - time.monotonic())):
        asked.append(threading.Thread(target=ask, args=(due_s,)))
        asked[-1].start()
        due_s += PERIOD_S
    for one in asked:
        one.join()
    lost.sort()
    down_s = round(lost[-1][0] - lost[0][0] + PERIOD_S, 1) if lost else 0.0
    first = lost[0][1] if lost else ""
    print(json.dumps({"sent": len(asked), "lost": len(lost), "first": first, "down_s": down_s}))


main()
