#!/usr/bin/env bash
# Shows that the simulation finds things: puts each defect of a list back into the product, and demands a seed that
# fails.
#
#   tests/checks/mutations.sh [NUMBER...]
#
# Each patch of tests/simulation/mutations is applied to a copy of HEAD in a temporary folder, the simulation is built
# there, and default seeds of the vendor are run until each predicate that fits the defect has failed in a seed that
# holds without the patch. Prints a table, and fails if a defect is not found. Not part of CI: it builds the product
# ten times. SEEDS (1000) is the number of default seeds, CARGO_TARGET_DIR where it builds (kept for the next run).
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
seeds=${SEEDS:-1000}
step=200
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/mutations}
copy=$work/copy
mkdir "$copy"
git archive HEAD | tar -x -C "$copy"
cd "$copy"
git init -q
git add -A
git -c user.name=check -c user.email=check@localhost -c commit.gpgsign=false commit -qm copy

# Number, defect, vendor, and the predicates: one of those between bars, each of those between commas.
defects='
1 endless-split chatbase-v2 ends-within-its-requests|takes-few-requests
2 dead-page-freezes-the-source chatbase-v2 reads-around-what-is-dead
3 change-missed-for-ever chatbase-v2 finds-every-change,sweeps-fully-when-due
4 late-messages-wait convocore-v3 finds-late-messages
5 no-paging-keys-is-everything convocore-v3 holds-what-it-claims
6 missing-is-marked-wrongly chatbase-v2 marks-only-what-is-gone,sweeps-fully-when-due
7 documented-contract-refused chatbase-v2 is-good-where-nothing-went-wrong
8 refused-cursor-ends-the-run chatbase-v2 is-good-where-nothing-went-wrong|survives-short-faults
9 waits-by-a-wrong-clock chatbase-v2 waits-as-asked|survives-short-faults
'

build() {
    RUSTFLAGS="${RUSTFLAGS:-} --cap-lints allow" cargo build --quiet --locked -p chatark-simulation
    cp "$CARGO_TARGET_DIR/debug/chatark-simulation" "$work/$1"
}

# Prints the first seed below a bound at which a program breaks one of several predicates and the sound one does not.
first_seed() {
    local program=$1 vendor=$2 wanted=$3 from=$4
    { "$program" --vendor "$vendor" --seeds "$from..$((from + step))" 2> /dev/null || true; } |
        sed -nE "s/^  BROKEN ($wanted): [0-9]+ seeds, such as \[(.*)\]$/\2/p" | tr -d ' ' | tr ',' '\n' | sort -n |
        while read -r seed; do
            { "$work/sound" --vendor "$vendor" --seeds "$seed..$((seed + 1))" 2> /dev/null || true; } > "$work/said"
            if ! grep -qE "BROKEN ($wanted):" "$work/said"; then
                echo "$seed"
                break
            fi
        done
}

build sound
failed=0
printf '%-3s %-30s %-13s %-56s %-6s %s\n' no defect vendor predicate seed seconds
while read -r number defect vendor predicates; do
    [ -n "$number" ] || continue
    if [ $# -gt 0 ] && ! printf '%s\n' "$@" | grep -qx "$number"; then continue; fi
    git checkout -q .
    git apply "$root/tests/simulation/mutations/$number.patch"
    build broken
    started=$SECONDS
    IFS=',' read -ra each <<< "$predicates"
    for wanted in "${each[@]}"; do
        seed=
        for ((from = 0; from < seeds && ${#seed} == 0; from += step)); do
            seed=$(first_seed "$work/broken" "$vendor" "$wanted" "$from")
        done
        [ -n "$seed" ] || failed=1
        printf '%-3s %-30s %-13s %-56s %-6s %s\n' \
            "$number" "$defect" "$vendor" "$wanted" "${seed:-NONE}" "$((SECONDS - started))"
        started=$SECONDS
    done
done <<< "$defects"
exit "$failed"
