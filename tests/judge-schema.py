"""usage: judge-schema.py SCHEMA DOCUMENT: validates a JSON document with other people's validator."""

import json
import sys

from jsonschema import validators
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


def cvss(uri):
    """The CVSS schemas that CSAF names are elsewhere: what they require stands for them."""
    version = uri.split("-v")[1][:3]
    required = ["version", "vectorString", "baseScore"] + ([] if version == "2.0" else ["baseSeverity"])
    schema = {"type": "object", "required": required, "properties": {"version": {"const": version}}}
    return Resource.from_contents(schema, default_specification=DRAFT202012)


schema, document = (json.load(open(path)) for path in sys.argv[1:3])
validator = validators.validator_for(schema)(schema, registry=Registry(retrieve=cvss))
errors = list(validator.iter_errors(document))
for error in errors:
    print(error.json_path, error.message[:300])
sys.exit(bool(errors))
