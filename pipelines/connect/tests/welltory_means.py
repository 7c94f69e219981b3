#!/usr/bin/env python3
"""Counts and means of Welltory's hrv_measurements.csv, straight from the file.

Independent of the importer on purpose: the tests compare what became of the events with what this prints.
Usage: welltory_means.py hrv_measurements.csv > means.json
"""

import csv
import json
import math
import sys

MEASURES = ("sdnn", "rmssd", "bpm")


def main() -> None:
    with open(sys.argv[1], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    cells = []
    for row in rows:
        key = (row["user_code"], row["measurement_datetime"])
        for name in MEASURES:
            if row[name].strip():
                cells.append((*key, name, float(row[name])))
        if row["tags"].strip():
            cells.append((*key, "tags", row["tags"]))

    distinct = set(cells)
    users: dict[str, dict[str, list[float]]] = {}
    for user, _, name, value in distinct:
        if name in MEASURES:
            users.setdefault(user, {}).setdefault(name, []).append(value)

    json.dump(
        {
            "rows": len(rows),
            "cells": len(cells),
            "distinct_cells": len(distinct),
            "users": {
                user: {
                    name: {"n": len(values), "mean": math.fsum(values) / len(values)}
                    for name, values in measures.items()
                }
                for user, measures in users.items()
            },
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
