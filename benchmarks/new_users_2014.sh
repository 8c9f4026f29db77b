#!/usr/bin/env bash
# People of whom one, two or five reviews are known.
source "$(dirname "$0")/common.sh"
evaluate "${instruments_2014[@]}" 'evaluation.splits=[new_users]' 'evaluation.history_lengths=[1,2,5]' "$@"
