#!/usr/bin/env bash
# usage: validate.sh FOLDER NAME: validates SBOMs and the Imager manifest with other people's validators.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/python.sh"
venv="$here/../target/tests/python"
"$venv/bin/pyspdxtools" --infile "$1/$2.spdx.json"
"$venv/bin/python" - "$here/schemas" "$1/$2" <<'PYTHON'
import json, pathlib, sys
from jsonschema import Draft7Validator
from referencing import Registry, Resource
schemas, name = pathlib.Path(sys.argv[1]), sys.argv[2]
load = lambda file: json.loads(pathlib.Path(file).read_text())
parts = {"spdx.schema.json": "cyclonedx-spdx", "jsf-0.82.schema.json": "cyclonedx-jsf-0.82"}
registry = Registry()
for uri, file in parts.items():
    resource = Resource.from_contents(load(schemas / f"{file}.schema.json"))
    registry = registry.with_resource("http://cyclonedx.org/schema/" + uri, resource).with_resource(uri, resource)
for schema, document in [("cyclonedx-bom-1.6", f"{name}.cdx.json"), ("rpi-imager-os-list", f"{name}.rpi-imager-manifest")]:
    errors = list(Draft7Validator(load(schemas / f"{schema}.schema.json"), registry=registry).iter_errors(load(document)))
    for error in errors[:5]:
        print(f"{document}: {error.json_path}: {error.message[:300]}")
    if errors:
        sys.exit(1)
PYTHON
