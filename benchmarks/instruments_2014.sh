#!/usr/bin/env bash
# Amazon 2014 Musical Instruments: ranking and ratings, leave-one-out and global time split.
source "$(dirname "$0")/common.sh"
evaluate "${instruments_2014[@]}" 'evaluation.splits=[leave_one_out,time]' "$@"
