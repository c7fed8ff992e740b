"""Runs the suites against a server and compares what they say with the exceptions.

run.py BASE-URL TOKEN EXCEPTIONS SCIM-SANITY
"""

import fnmatch
import json
import subprocess
import sys

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server


def scim_sanity(program, base, token):
    """Yields (check, what it says, passed)."""
    done = subprocess.run(
        [program, "probe", base, "--token", token, "--user-domain", "example.com", "--i-accept-side-effects", "--json-output"],
        capture_output=True, text=True, timeout=120,
    )
    try:
        results = json.loads(done.stdout)["results"]
    except (ValueError, KeyError):
        sys.exit(f"scim-sanity gave no results:\n{done.stdout}{done.stderr}")
    for r in results:
        yield f"{r['status']} {r['name']}", r.get("message") or "", r["status"] == "pass"


def scim2_tester(base, token):
    """Yields (check, what it says, passed)."""
    http = httpx2.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    for r in check_server(SyncSCIMClient(http)):
        about = r.data.get("urn", "") if isinstance(r.data, dict) else ""
        check = " ".join(filter(None, [r.resource_type, r.title, about]))
        yield check, r.reason or "", r.status in (Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE)


def main(base, token, exceptions_file, program):
    with open(exceptions_file, encoding="utf-8") as f:
        lines = [line.strip() for line in f]
    exceptions = [[c.strip() for c in line.split("|")] for line in lines if line and not line.startswith("#")]
    occurred = set()
    wrong = 0
    for suite, results in ("scim-sanity", scim_sanity(program, base, token)), ("scim2-tester", scim2_tester(base, token)):
        passed = named = 0
        for check, says, ok in results:
            if ok:
                passed += 1
                continue
            for i, (of, pattern, reason, _) in enumerate(exceptions):
                if of == suite and fnmatch.fnmatchcase(check, pattern) and fnmatch.fnmatchcase(says, reason):
                    occurred.add(i)
                    named += 1
                    break
            else:
                wrong += 1
                print(f"{suite}: {check}: {says[:1000]}")
        print(f"{suite}: {passed} checks pass, {named} are exceptions")
        if passed == 0:
            wrong += 1
            print(f"{suite}: nothing passes")
    for i, exception in enumerate(exceptions):
        if i not in occurred:
            wrong += 1
            print("an exception that no longer occurs: " + " | ".join(exception))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
