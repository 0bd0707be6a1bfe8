#!/usr/bin/env bash
# A prover's loop that is no Python: plans the rounds given as arguments, one after the other, does the work,
# and tells the planner how it ended. Usage: loop.sh STATE.sqlite ROUND.json ...
set -euo pipefail
state=$1
shift

coproc PLANNER { bondwork stream --state "$state"; }

ask() { # one line in, one line out
    printf '%s\n' "$1" >&"${PLANNER[1]}"
    IFS= read -r reply <&"${PLANNER[0]}"
}

for file in "$@"; do
    name=$(basename "$file" .json)
    ask "{\"op\": \"plan\", \"round_id\": \"$name\", \"round\": $(tr -d '\n' < "$file")}"
    offers=$(grep -o '"offer":"[^"]*"' <<< "$reply" | cut -d '"' -f 4) || true
    outcomes=
    for offer in $offers; do
        # here the work would be done
        outcomes+="${outcomes:+, }{\"commitment\": \"$name/$offer\", \"outcome\": \"succeeded\"}"
    done
    ask "{\"id\": \"$name\", \"op\": \"observe\", \"outcomes\": [$outcomes]}"
    printf '%s\n' "$reply"
done
