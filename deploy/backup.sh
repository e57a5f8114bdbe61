#!/bin/sh
# Copies the data directory of a bridge that goes on running:  backup.sh DATA_DIR NEW_DIR
#
# The order is what makes the copy fit together. The store comes first: its checkpoints then stand inside the
# logs copied after it. Of each log, what says how far it reaches (end, marks) comes before what it holds: the
# segments then hold at least that much. What is written meanwhile may be in the copy or not; where it holds a
# later record and not an earlier one, a bridge started on it reports the earlier one as lost, rightly.
# Not copied: locks, and the reserve, which is made anew.
set -eu
data=${1:?usage: backup.sh DATA_DIR NEW_DIR}
copy=${2:?usage: backup.sh DATA_DIR NEW_DIR}
[ -d "$data/journals" ] || { echo "backup.sh: $data holds no journals" >&2; exit 1; }
[ ! -e "$copy" ] || { echo "backup.sh: $copy exists already" >&2; exit 1; }
case $copy in /*) ;; *) copy=$PWD/$copy ;; esac
umask 077
mkdir -p "$copy.unfinished"

if [ -e "$data/imbridge.sqlite" ]; then
    python3 -c '
import sqlite3, sys
source, target = map(sqlite3.connect, sys.argv[1:])
source.backup(target)
target.close()
' "$data/imbridge.sqlite" "$copy.unfinished/imbridge.sqlite"
fi

if [ -d "$data/rules" ]; then
    cp -pR "$data/rules" "$copy.unfinished/rules"
fi

cd "$data"
for log in control journals/[0-9]*; do
    [ -e "$log/identity" ] || continue
    mkdir -p "$copy.unfinished/$log"
    for part in identity end marks; do
        [ ! -e "$log/$part" ] || cp -pR "$log/$part" "$copy.unfinished/$log/"
    done
    for segment in "$log"/*.seg; do
        # One that was forgotten meanwhile is missed by nobody.
        cp -p "$segment" "$copy.unfinished/$log/" || [ ! -e "$segment" ]
    done
done

sync
mv "$copy.unfinished" "$copy"
echo "$copy"
