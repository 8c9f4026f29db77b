#!/usr/bin/env bash
# Ratings as the mission asks for them: 10 % of the people are held out and tested.
source "$(dirname "$0")/common.sh"
evaluate "${instruments_2014[@]}" 'evaluation.splits=[users]' "$@"
