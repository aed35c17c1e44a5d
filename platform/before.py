"""before: of a release's history at stdin, as `helm history --output json` has it, the revision to go back to.

It is the newest whole one before the present. A present that is itself a rollback counts as the revision that it has
brought back: else to go back from it would be to go to the one that was just left. Prints nothing if there is none.
"""

import json
import re
import sys


def main() -> None:
    history = {one["revision"]: one for one in json.load(sys.stdin)}
    here = max(history)
    while (back := re.fullmatch(r"Rollback to (\d+)", history[here]["description"])) and int(back[1]) in history:
        here = int(back[1])
    whole = [number for number, one in history.items() if number < here and one["status"] == "superseded"]
    if whole:
        print(max(whole))


main()
