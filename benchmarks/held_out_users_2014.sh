#!/usr/bin/env bash
# People whom training has not met: 10 % of them are held out and tested.
source "$(dirname "$0")/common.sh"
evaluate "${instruments_2014[@]}" 'evaluation.splits=[users]' "$@"
