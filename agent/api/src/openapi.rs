//! The OpenAPI document, made from the table of operations (OpenAPI 3.1).

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::guard::Need;
use crate::routes::{Body, Operation};

/// Returns the document of a table.
pub fn document(table: &[Operation]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    let failure = generator.subschema_for::<Failure>();
    for operation in table {
        let mut body = |body: &Body| match body {
            Body::Empty => None,
            Body::Json(schema) => {
                Some(json!({ "application/json": { "schema": schema(&mut generator) } }))
            }
            Body::Bytes(media_type) => Some(json!({ *media_type: {} })),
        };
        let (takes, gives) = (body(&operation.takes), body(&operation.gives));
        let mut answer = json!({ "description": "Done." });
        if let Some(content) = gives {
            answer["content"] = content;
        }
        let in_path = operation
            .path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next());
        let parameters: Vec<Value> = in_path
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .chain(operation.query.iter().map(
                |name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }),
            ))
            .collect();
        let mut entry = json!({
            "summary": operation.summary,
            "operationId": operation_id(operation),
            "responses": {
                "200": answer,
                "default": {
                    "description": "Refused or failed.",
                    "content": { "application/json": { "schema": failure } },
                },
            },
        });
        if !parameters.is_empty() {
            entry["parameters"] = parameters.into();
        }
        if let Some(content) = takes {
            entry["requestBody"] = json!({ "required": true, "content": content });
        }
        entry["security"] = json!([]);
        if let Need::Role(role) = operation.need {
            entry["security"] = json!([{ "cookie": [] }, { "token": [] }]);
            entry["x-role"] = json!(role);
        }
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = entry;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bakelite agent",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Keyboard, mouse, screen, media and power of the machine that this device is plugged into.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "cookie": { "type": "apiKey", "in": "cookie", "name": crate::guard::COOKIE },
                "token": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn operation_id(operation: &Operation) -> String {
    let mut id = operation.method.as_str().to_lowercase();
    let words = operation
        .path
        .trim_start_matches("/api/")
        .split(['/', '-', '.']);
    for word in words {
        let mut letters = word.chars().filter(char::is_ascii_alphanumeric);
        id.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        id.extend(letters);
    }
    id
}
