"""What `helm test` runs in the cluster: asks until all is as it should be, for two minutes at most.

URLS must answer 200. PROMETHEUS: where the rules must be loaded, from RULES files, and healthy. TARGETS: not empty
if all that it scrapes must be up: the upstream stack scrapes parts of a cluster that not every one shows.
"""

import json
import os
import sys
import time
import urllib.request


def ask(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def troubles():
    for url in os.environ["URLS"].split():
        try:
            ask(url)
        except OSError as error:
            yield f"{url}: {error}"
    base = os.environ["PROMETHEUS"]
    if not base:
        return
    try:
        groups = json.loads(ask(base + "/api/v1/rules"))["data"]["groups"]
        targets = json.loads(ask(base + "/api/v1/targets?state=active"))["data"]["activeTargets"]
    except OSError as error:
        yield f"{base}: {error}"
        return
    files = len({group["file"] for group in groups})
    if files < int(os.environ["RULES"]):
        yield f"{base}: rules of {files} files are loaded, and the chart has {os.environ['RULES']}"
    for rule in (rule for group in groups for rule in group["rules"]):
        if rule["health"] == "err":
            yield f"rule {rule['name']}: {rule['lastError']}"
    if not targets:
        yield f"{base}: scrapes nothing"
    for target in targets if os.environ["TARGETS"] else ():
        if target["health"] != "up":
            why = target["lastError"] or "not scraped yet"
            yield f"target {target['labels'].get('job')} {target['scrapeUrl']}: {why}"


until = time.monotonic() + 120
while found := list(troubles()):
    if time.monotonic() > until:
        sys.exit("\n".join(found))
    time.sleep(2)
print("all answer")
