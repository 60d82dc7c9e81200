"""Write the JSON Schemas that docs/reference publishes: run after a change of rules or output."""

import json
from pathlib import Path

from layerproof.policy.json_schema import policy_schema
from layerproof.report.output_schema import output_schema

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
SCHEMAS = {"policy.schema.json": policy_schema, "output.schema.json": output_schema}


def text(name: str) -> str:
    """What the file holds."""
    return json.dumps(SCHEMAS[name](), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file in SCHEMAS:
        (FOLDER / file).write_text(text(file), encoding="utf-8")
        print("wrote", FOLDER / file)
