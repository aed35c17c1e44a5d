"""image_table: the values that platform/build writes, at stdin -> a table of image versions in Markdown."""

import re
import sys

_LINE = re.compile(
    r"^ *(?P<name>[\w-]+): \{image: \{repository: (?P<repository>\S+), digest: \"(?P<digest>sha256:\w+)\"\}\}"
)


def main() -> None:
    rows = [match.groupdict() for line in sys.stdin if (match := _LINE.match(line))]
    if not rows:
        sys.exit("no image by its digest: is this a file of platform/build?")
    print("| service | image | digest |\n|---|---|---|")
    for row in rows:
        print(f"| {row['name']} | {row['repository']} | `{row['digest']}` |")


main()
