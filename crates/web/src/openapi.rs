//! The OpenAPI 3.1 document, made from the endpoints' own types.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap, HashSet};

use kernel::{Code, ErrorDoc, RequestPart};
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::{Endpoint, Limited, RequestError, Security, SignIn, body_limit, example, idempotency};

/// The schemas that operations refer to. Inputs and outputs of one name must have one shape.
#[derive(Debug)]
pub struct Schemas {
    input: SchemaGenerator,
    output: SchemaGenerator,
    extra: BTreeMap<String, Value>,
    extensions: Vec<(String, String, Value)>,
}

/// States the bounds of Rust's integers, which a `format` alone does not.
fn bound_integers(schema: &mut Schema) {
    let bounds: Option<(Value, Value)> = match schema.get("format").and_then(Value::as_str) {
        Some("int8") => Some((i8::MIN.into(), i8::MAX.into())),
        Some("int16") => Some((i16::MIN.into(), i16::MAX.into())),
        Some("int32") => Some((i32::MIN.into(), i32::MAX.into())),
        Some("int64") => Some((i64::MIN.into(), i64::MAX.into())),
        Some("uint8") => Some((0.into(), u8::MAX.into())),
        Some("uint16") => Some((0.into(), u16::MAX.into())),
        Some("uint32") => Some((0.into(), u32::MAX.into())),
        Some("uint64") => Some((0.into(), u64::MAX.into())),
        _ => None,
    };
    if let Some((min, max)) = bounds {
        for (key, value) in [("minimum", min), ("maximum", max)] {
            if schema.get(key).is_none() {
                schema.insert(key.to_owned(), value);
            }
        }
        // `uint32` and its like are not formats of the OpenAPI registry; the bounds say it.
        if schema.get("format").and_then(Value::as_str).is_some_and(|f| !matches!(f, "int32" | "int64")) {
            schema.remove("format");
        }
    }
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|s| {
                s.definitions_path = "/components/schemas".into();
                s.meta_schema = None;
            })
        };
        Self {
            input: settings().for_deserialize().into_generator(),
            output: settings().for_serialize().into_generator(),
            extra: BTreeMap::new(),
            extensions: Vec::new(),
        }
    }

    /// The schema, or a reference to it, of what is read.
    pub fn input<T: JsonSchema>(&mut self) -> Value {
        self.input.subschema_for::<T>().to_value()
    }

    /// The schema, or a reference to it, of what is written.
    pub fn output<T: JsonSchema>(&mut self) -> Value {
        self.output.subschema_for::<T>().to_value()
    }

    /// A schema made by hand under a name; a reference to it.
    pub fn named(&mut self, name: &str, schema: Value) -> Value {
        self.extra.insert(name.to_owned(), schema);
        reference(name)
    }

    /// Adds a property to a schema that is known under a name by the end: what another domain's loader adds.
    pub fn extend(&mut self, name: &str, property: &str, schema: Value) {
        self.extensions.push((name.to_owned(), property.to_owned(), schema));
    }

    /// All of them by name.
    fn finish(mut self) -> Result<BTreeMap<String, Value>, String> {
        let mut all: BTreeMap<String, Value> = BTreeMap::new();
        let sides =
            [self.input.take_definitions(true), self.output.take_definitions(true), self.extra.into_iter().collect()];
        for (name, mut schema) in sides.into_iter().flatten() {
            // schemars renames the second type of a name to `Name2`; the mark that our attributes leave tells.
            let owner = schema.as_object_mut().and_then(|s| s.remove("x-rust-type"));
            let owner = owner.as_ref().and_then(Value::as_str).map(ToOwned::to_owned);
            let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let is_renamed = match &owner {
                Some(path) => base != name && path.rsplit("::").next() == Some(base),
                None => false,
            };
            if is_renamed {
                return Err(format!(
                    "two schemas are named `{base}`; one of them is `{}`. Rename one of the types: clients would mix them up.",
                    owner.unwrap_or_default()
                ));
            }
            strip_marks(&mut schema);
            match all.get(&name) {
                Some(known) if *known != schema => {
                    return Err(format!(
                        "the schema `{name}` would have two shapes (read and written, or two types of one name). \
                         Use a type of its own for each."
                    ));
                }
                _ => {
                    all.insert(name, schema);
                }
            }
        }
        for (name, property, schema) in self.extensions {
            if let Some(known) = all.get_mut(&name) {
                known["properties"][property] = schema;
            }
        }
        Ok(all)
    }
}

fn strip_marks(schema: &mut Value) {
    if let Ok(schema) = <&mut Schema>::try_from(&mut *schema) {
        RecursiveTransform(bound_integers).transform(schema);
    }
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("x-rust-type");
                fields.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(schema);
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A parameter of an operation.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Where it stands; not in the body.
    pub place: RequestPart,
    /// Its wire name.
    pub name: String,
    /// Whether it must be sent.
    pub required: bool,
    /// What it does.
    pub description: String,
    /// Its schema.
    pub schema: Value,
}

/// What a success answers with: its description, the media type and schema of its body, its headers.
type Success = (String, Option<(&'static str, Value)>, Value);

/// The description of one operation while its arguments and results add to it.
#[derive(Debug)]
pub struct Operation<'a> {
    schemas: &'a mut Schemas,
    path_params: std::vec::IntoIter<String>,
    parameters: Vec<Parameter>,
    body: Option<Value>,
    is_body_optional: bool,
    successes: BTreeMap<u16, Success>,
    errors: Vec<ErrorDoc>,
    security: Option<Security>,
    holds_preconditions: bool,
    takes_ctx: bool,
    needs: Vec<(TypeId, &'static str)>,
    mistakes: Vec<String>,
}

impl Operation<'_> {
    /// The schemas of the document.
    pub const fn schemas(&mut self) -> &mut Schemas {
        self.schemas
    }

    /// Adds a parameter.
    pub fn parameter(&mut self, parameter: Parameter) {
        if self.parameters.iter().any(|p| p.place == parameter.place && p.name == parameter.name) {
            self.mistakes.push(format!("the parameter `{}` is taken twice", parameter.name));
        }
        self.parameters.push(parameter);
    }

    /// The name of the next parameter in the path template.
    pub fn next_path_param(&mut self) -> String {
        self.path_params.next().unwrap_or_else(|| {
            self.mistakes.push("it takes more path parameters than its path has".to_owned());
            String::new()
        })
    }

    /// Adds the JSON body.
    pub fn body<T: JsonSchema>(&mut self) {
        if self.body.is_some() {
            self.mistakes.push("it takes two bodies".to_owned());
        }
        self.body = Some(self.schemas.input::<T>());
    }

    /// Adds a JSON body that may be left out.
    pub fn optional_body<T: JsonSchema>(&mut self) {
        self.body::<T>();
        self.is_body_optional = true;
    }

    /// Adds the properties of `T` as query parameters.
    pub fn query<T: JsonSchema>(&mut self) {
        let schema = crate::schema::input_schema::<T>();
        let required: Vec<&str> =
            schema["required"].as_array().map(|r| r.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
        let Some(properties) = schema["properties"].as_object() else { return };
        for (name, property) in properties {
            let mut property = property.clone();
            strip_marks(&mut property);
            let description = property
                .as_object_mut()
                .and_then(|p| p.remove("description"))
                .and_then(|d| d.as_str().map(ToOwned::to_owned))
                .unwrap_or_default();
            // An optional parameter is absent, never null.
            if let Some(Value::Array(kinds)) = property.get_mut("type") {
                kinds.retain(|k| k != "null");
                if let [one] = kinds.as_slice() {
                    property["type"] = one.clone();
                }
            }
            self.parameter(Parameter {
                place: RequestPart::Query,
                name: name.clone(),
                required: required.contains(&name.as_str()),
                description,
                schema: property,
            });
        }
    }

    /// Adds a success, with the schema of its JSON body if it has one.
    pub fn success(&mut self, status: u16, description: &str, schema: Option<Value>, headers: Value) {
        let content = schema.map(|schema| ("application/json", schema));
        self.successes.insert(status, (description.to_owned(), content, headers));
    }

    /// Adds a success whose body is not JSON.
    pub fn success_as(&mut self, status: u16, description: &str, media_type: &'static str, schema: Value) {
        self.successes.insert(status, (description.to_owned(), Some((media_type, schema)), json!({})));
    }

    /// Adds a failure.
    pub fn error(&mut self, doc: ErrorDoc) {
        match self.errors.iter().find(|known| known.name == doc.name) {
            Some(known) if known.code != doc.code => {
                self.mistakes
                    .push(format!("the error `{}` has two kinds: {:?} and {:?}", doc.name, known.code, doc.code));
            }
            Some(_) => {}
            None => self.errors.push(doc),
        }
    }

    /// Adds one of the failures that a request can meet before its handler, by its stable name.
    pub fn request_error(&mut self, name: &'static str) {
        match RequestError::doc(name) {
            Some(doc) => self.error(doc),
            None => self.mistakes.push(format!("there is no request error `{name}`")),
        }
    }

    /// States who may call.
    pub fn security(&mut self, security: Security) {
        self.security = Some(security);
    }

    /// States that it holds the preconditions a client states; those that do not refuse them.
    pub(crate) fn holds_preconditions(&mut self) {
        self.holds_preconditions = true;
    }

    /// States that it takes the context of an operation that nobody in particular asks for.
    pub(crate) fn takes_ctx(&mut self) {
        self.takes_ctx = true;
    }

    /// States a service that must be provided.
    pub fn needs(&mut self, id: TypeId, name: &'static str) {
        self.needs.push((id, name));
    }
}

/// What the document says of the API as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub title: String,
    pub version: String,
    pub description: String,
}

/// The finished document, what its operations need, and every failure they can answer with.
#[derive(Debug)]
pub(crate) struct Described {
    pub document: Value,
    pub needs: Vec<(String, TypeId, &'static str)>,
    pub errors: BTreeMap<&'static str, ErrorDoc>,
    /// The longest body of each operation, by its name; those whose schema has no end are not here.
    pub most_bytes: HashMap<String, usize>,
    /// Who may call each operation, by its name; those that do not look are not here.
    pub security: HashMap<String, Security>,
    /// The operations that hold preconditions, by name.
    pub preconditions: HashSet<String>,
}

/// Describes all operations: `(full path, tag, endpoint)`.
pub(crate) fn describe(
    info: &Info,
    sign_in: Option<SignIn>,
    endpoints: &[(String, String, Endpoint)],
    about: &BTreeMap<String, String>,
) -> Result<Described, String> {
    let mut schemas = Schemas::new();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut needs = Vec::new();
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    let mut errors: BTreeMap<&'static str, ErrorDoc> = BTreeMap::new();
    let mut security = HashMap::new();
    let mut preconditions = HashSet::new();
    for (path, tag, endpoint) in endpoints {
        let here = format!("{} {path}", endpoint.method.name());
        if let Some(other) = ids.insert(&endpoint.id, path) {
            return Err(format!(
                "two operations are named `{}`: at {other} and at {path}. Rename one handler.",
                endpoint.id
            ));
        }
        let mut op = Operation {
            schemas: &mut schemas,
            path_params: template_params(path).into_iter(),
            parameters: Vec::new(),
            body: None,
            is_body_optional: false,
            successes: BTreeMap::new(),
            errors: Vec::new(),
            security: None,
            holds_preconditions: false,
            takes_ctx: false,
            needs: Vec::new(),
            mistakes: Vec::new(),
        };
        (endpoint.describe)(&mut op);
        if endpoint.write_created.is_some() {
            idempotency::describe(&mut op);
        }
        if !endpoint.is_unlimited {
            op.error(Limited::DOC);
        }
        for name in
            ["malformed_request", "bad_header", "headers_too_large", "internal", "deadline_exceeded", "overloaded"]
        {
            op.request_error(name);
        }
        if endpoint.method != crate::Method::Get {
            // A body in a coding is refused, whether one is read or not; a precondition that is not held too.
            op.request_error("unsupported_media_type");
            op.request_error("precondition_not_supported");
        }
        if let Some(unused) = op.path_params.next() {
            op.mistakes.push(format!("its path has `{{{unused}}}`, but no argument takes it"));
        }
        if endpoint.summary.is_empty() {
            op.mistakes.push("it has no doc comment, so the document cannot say what it does".to_owned());
        }
        if op.takes_ctx && op.security.is_some() {
            let mistake = "it takes `Ctx` beside `Caller`, and what is done by the former is done in nobody's name. Take \
                           the caller's: `caller.ctx()`";
            op.mistakes.push(mistake.to_owned());
        }
        if let Some(mistake) = op.mistakes.first() {
            return Err(format!("{here} (`{}`): {mistake}", endpoint.id));
        }
        for doc in &op.errors {
            if let Some(known) = errors.insert(doc.name, *doc)
                && known.code != doc.code
            {
                return Err(format!("the error `{}` has two kinds: {:?} and {:?}", doc.name, known.code, doc.code));
            }
        }
        preconditions.extend(op.holds_preconditions.then(|| endpoint.id.to_string()));
        security.extend(op.security.map(|security| (endpoint.id.to_string(), security)));
        needs.extend(op.needs.iter().map(|(id, name)| (endpoint.id.to_string(), *id, *name)));
        let value = operation_value(endpoint, tag, &op);
        let known = paths.entry(path.clone()).or_default().insert(endpoint.method.name().to_lowercase(), value);
        if known.is_some() {
            return Err(format!("{here} is there twice"));
        }
    }
    let mut all = schemas.finish()?;
    all.insert("Problem".to_owned(), problem_schema());
    let mut most_bytes = HashMap::new();
    for operation in paths.values_mut().flat_map(Map::values_mut) {
        if let Some(body) = operation.pointer_mut("/requestBody/content/application~1json") {
            // The pages send it when a person changes nothing.
            body["example"] = example::of(&body["schema"], &all);
            if let Some(most) = body_limit::most_bytes(&body["schema"], &all)
                && let Some(id) = operation["operationId"].as_str()
            {
                most_bytes.insert(id.to_owned(), most);
            }
        }
    }
    let bearer = bearer(sign_in, endpoints)?;
    let mut tags: Vec<&String> = endpoints.iter().map(|(_, tag, _)| tag).collect();
    tags.dedup();
    let tag = |name: &String| match about.get(name).map(|text| text.trim()) {
        None | Some("") => json!({ "name": name }),
        Some(text) => json!({ "name": name, "description": text }),
    };
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": info.title,
            "version": info.version,
            "description": info.description,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This server" }],
        "tags": tags.into_iter().map(tag).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": all,
            "securitySchemes": { "bearer": bearer },
        },
    });
    Ok(Described { document, needs, errors, most_bytes, security, preconditions })
}

/// The scheme by which callers are known, and the operations that sign in, where there are any.
fn bearer(sign_in: Option<SignIn>, endpoints: &[(String, String, Endpoint)]) -> Result<Value, String> {
    let mut scheme =
        json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token." });
    let Some(SignIn { register, login, refresh, logout }) = sign_in else { return Ok(scheme) };
    let mut names = Map::new();
    for (role, id) in
        [("register", register), ("login", Some(login)), ("refresh", Some(refresh)), ("logout", Some(logout))]
    {
        let Some(id) = id else { continue };
        let Some((path, _, endpoint)) = endpoints.iter().find(|(_, _, endpoint)| &*endpoint.id == id) else {
            return Err(format!("signing in names the operation `{id}` ({role}), and there is none of that name"));
        };
        if role == "login" {
            scheme["description"] =
                format!("The access token that `{} {path}` answers with.", endpoint.method.name()).into();
        }
        names.insert(role.to_owned(), id.into());
    }
    scheme["x-sign-in"] = Value::Object(names);
    Ok(scheme)
}

/// The parameters of a path template, in order.
fn template_params(path: &str) -> Vec<String> {
    path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).map(ToOwned::to_owned).collect()
}

fn operation_value(endpoint: &Endpoint, tag: &str, op: &Operation<'_>) -> Value {
    let mut value = json!({ "operationId": endpoint.id, "summary": endpoint.summary, "tags": [tag] });
    if !endpoint.description.is_empty() {
        value["description"] = endpoint.description.clone().into();
    }
    value["security"] = match op.security {
        None => json!([]),
        Some(Security::Optional) => json!([{}, { "bearer": [] }]),
        Some(Security::Required) => json!([{ "bearer": [] }]),
    };
    if !op.parameters.is_empty() {
        let one = |p: &Parameter| {
            let mut value = json!({ "name": p.name, "in": p.place.name(), "required": p.required, "schema": p.schema });
            if !p.description.is_empty() {
                value["description"] = p.description.clone().into();
            }
            if p.schema["type"] == "array" {
                // Lists are separated by commas: `?fields=id,title`.
                value["style"] = "form".into();
                value["explode"] = false.into();
            }
            value
        };
        value["parameters"] = op.parameters.iter().map(one).collect();
    }
    if let Some(schema) = &op.body {
        value["requestBody"] = json!({
            "required": !op.is_body_optional,
            "content": { "application/json": { "schema": schema } },
        });
    }
    let mut responses = Map::new();
    for (status, (description, content, headers)) in &op.successes {
        let mut response = json!({ "description": description });
        if let Some((media_type, schema)) = content {
            response["content"] = json!({ (*media_type): { "schema": schema } });
        }
        if headers.as_object().is_some_and(|h| !h.is_empty()) {
            response["headers"] = headers.clone();
        }
        responses.insert(status.to_string(), response);
    }
    if endpoint.method == crate::Method::Get && op.successes.contains_key(&200) {
        responses
            .insert("304".to_owned(), json!({ "description": "Not modified since the `If-None-Match` you sent." }));
    }
    let mut by_status: BTreeMap<u16, Vec<&ErrorDoc>> = BTreeMap::new();
    for doc in &op.errors {
        by_status.entry(doc.code.status()).or_default().push(doc);
    }
    for (status, docs) in by_status {
        let description = docs.iter().map(|d| format!("`{}`: {}", d.name, d.meaning)).collect::<Vec<_>>().join("\n\n");
        let names: Vec<&str> = docs.iter().map(|d| d.name).collect();
        let schema = json!({ "allOf": [reference("Problem"), { "properties": { "code": { "enum": names } } }] });
        let mut response =
            json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } });
        if status == Code::TooManyRequests.status() {
            response["headers"] = limit_headers();
        }
        responses.insert(status.to_string(), response);
    }
    value["responses"] = Value::Object(responses);
    value
}

/// What an answer says of the caller's allowance. Every answer of a limited operation does; the document says it here.
fn limit_headers() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    json!({
        "Retry-After": header("Seconds until there is enough again.", json!({ "type": "integer", "minimum": 1 })),
        "RateLimit-Policy": header(
            "The limits on this operation: `\"user\";q=6000;w=60` lets 6000 through in 60 seconds.",
            json!({ "type": "string" }),
        ),
        "RateLimit": header(
            "What is left of each: `\"user\";r=41;t=12`, and all of it, or enough, is there in 12 seconds.",
            json!({ "type": "string" }),
        ),
    })
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "description": "A URI for this kind of problem." },
            "title": { "type": "string", "description": "A short title, the same for every problem of its kind." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": { "type": "string", "description": "What went wrong this time, for a person." },
            "instance": { "type": "string", "description": "The path that was asked for." },
            "code": { "type": "string", "description": "Stable name of the problem, for a program." },
            "request_id": { "type": "string", "description": "Quote it when you report the problem." },
            "errors": {
                "type": "array",
                "description": "All errors of an invalid request.",
                "items": {
                    "type": "object",
                    "properties": {
                        "in": { "type": "string", "enum": ["body", "query", "path", "header"] },
                        "pointer": { "type": "string", "description": "JSON pointer (RFC 6901) to the value." },
                        "code": { "type": "string", "description": "Stable name of the rule that is broken." },
                        "message": { "type": "string", "description": "The rule, for a person." },
                    },
                    "required": ["in", "pointer", "code", "message"],
                },
            },
        },
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    })
}
