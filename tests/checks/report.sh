#!/usr/bin/env bash
# Checks a report and an export with programs of others: the Frictionless validator and Chromium.
#
#   pip install frictionless
#   apt-get install chromium
#   tests/checks/report.sh [SCREENSHOT.png]
#
# Not part of CI, because it installs a browser. Its last result is in docs/checks.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
screenshot=$(realpath -m "${1:-/dev/null}")
cargo build --quiet -p chatark-cli
chatark=$PWD/$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/' | xargs realpath --relative-to="$PWD")/debug/chatark
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$chatark" demo --quiet
cd chatark-demo
"$chatark" report --timezone Europe/Berlin --quiet

for folder in report export; do
    (cd "$folder" && frictionless validate datapackage.json --json > ../"$folder".json)
    python3 - "$folder.json" <<'PYTHON'
import json, sys
found = json.load(open(sys.argv[1]))
assert found["valid"] and not found["stats"]["errors"], found
print(f"{sys.argv[1]}: {found['stats']['tasks']} tables are valid")
PYTHON
done

# Opens a page, and writes a screenshot, a log, and what was asked of the network to files of a name.
open_page() {
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$work/profile-$1" --hide-scrollbars \
        --blink-settings=preferredColorScheme="$2" --window-size=1000,1500 --enable-logging=stderr \
        --log-net-log="$work/$1.json" --screenshot="$work/$1.png" "$3" 2> "$work/$1.log"
}

# The browser has requests of its own: those that an empty page sees are not the report's.
open_page empty 1 about:blank
open_page light 1 "file://$PWD/report/report.html"
open_page dark 0 "file://$PWD/report/report.html"
for name in light dark; do
    if grep "CONSOLE" "$work/$name.log"; then exit 1; fi
    python3 - "$work/empty.json" "$work/$name.json" <<'PYTHON'
import json, sys
from urllib.parse import urlsplit

def hosts(path):
    events = json.load(open(path))["events"]
    urls = [event["params"]["url"] for event in events if "url" in event.get("params", {})]
    return {urlsplit(url).hostname for url in urls if url.startswith(("http:", "https:", "ws:", "wss:"))}

outside = hosts(sys.argv[2]) - hosts(sys.argv[1])
assert not outside, outside
print(f"{sys.argv[2].rsplit('/', 1)[1]}: no console message, no external request")
PYTHON
done
if [ "$screenshot" != /dev/null ]; then cp "$work/light.png" "$screenshot"; fi
