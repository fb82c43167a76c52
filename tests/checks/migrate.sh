#!/usr/bin/env bash
# Checks the files of migrations with programs of others: the types of the `openai` package, and slack-export-viewer.
#
#   pip install openai slack-export-viewer
#   tests/checks/migrate.sh
#
# Not part of CI, because it installs Python packages. Its last result is in docs/checks.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --quiet -p chatark-cli
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$target/debug/chatark" demo --quiet
cd chatark-demo
"$target/debug/chatark" migrate run --to openai-jsonl --output openai --quiet > /dev/null
"$target/debug/chatark" migrate run --to slack-zip --output slack --quiet > /dev/null

python3 - <<'PYTHON'
import importlib.metadata, json
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

messages = TypeAdapter(list[ChatCompletionMessageParam])
try:
    messages.validate_json('[{"role": "nobody", "content": "x"}]')
    raise SystemExit("the check accepts anything")
except ValueError:
    pass
rows = 0
for line in open("openai/openai.jsonl"):
    messages.validate_json(json.dumps(json.loads(line)["messages"]), strict=False)
    rows += 1
assert rows > 100, rows
print(f"openai {importlib.metadata.version('openai')}: {rows} rows are accepted")
PYTHON

python3 - <<'PYTHON'
import importlib.metadata, json, tempfile, zipfile
from slackviewer.config import Config
from slackviewer.reader import Reader

channels = Reader(Config({"archive": "slack/slack.zip"})).compile_channels()
shown = {name: len(messages) for name, messages in channels.items()}
packed = zipfile.ZipFile("slack/slack.zip")
sent = {}
for name in packed.namelist():
    if "/" in name:
        channel = name.split("/")[0]
        sent[channel] = sent.get(channel, 0) + len(json.loads(packed.read(name)))
assert shown == sent and sum(sent.values()) > 500, (shown, sent)
for messages in channels.values():
    for message in messages:
        assert message.user.display_name and message.msg is not None
print(f"slack-export-viewer {importlib.metadata.version('slack-export-viewer')}: shows {shown}")
PYTHON
