//! Values that a JSON Schema accepts, and ways to spoil one: over the part of JSON Schema that our documents use. What it
//! does not know it names, so that nothing published goes untested.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::{Union, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

/// A schema, and the document its references point into.
#[derive(Clone, Copy)]
pub(super) struct Schema<'a> {
    pub root: &'a Value,
    pub schema: &'a Value,
}

/// A way to spoil an instance.
#[derive(Debug, Clone)]
pub(super) struct Wrong {
    /// Where.
    pub pointer: String,
    /// The rule that breaks; none where any name will do.
    pub code: Option<&'static str>,
    /// What stands there then; nothing where something is missing.
    pub value: Option<Value>,
}

impl Wrong {
    /// The instance, spoilt.
    pub fn put_into(&self, instance: &Value) -> Value {
        let mut spoilt = instance.clone();
        let Some((parent, name)) = self.pointer.rsplit_once('/') else {
            return self.value.clone().unwrap();
        };
        let name = name.replace("~1", "/").replace("~0", "~");
        match (spoilt.pointer_mut(parent).unwrap(), &self.value) {
            (Value::Object(fields), Some(value)) => _ = fields.insert(name, value.clone()),
            (Value::Object(fields), None) => _ = fields.remove(&name),
            (Value::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value.clone(),
            (other, _) => panic!("{} is not inside of {other}", self.pointer),
        }
        spoilt
    }
}

/// What is understood here, and words that say nothing about a value.
const KEYWORDS: [&str; 23] = [
    "$ref",
    "additionalProperties",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// The most characters or items that are drawn one by one; beside them the bound itself is tried.
const FEW: usize = 24;

impl<'a> Schema<'a> {
    fn at(self, schema: &'a Value) -> Self {
        Self { schema, ..self }
    }

    /// The schema itself, where this only refers to it.
    fn found(self) -> Self {
        match self.schema["$ref"].as_str() {
            Some(reference) => {
                let schema = self.root.pointer(reference.trim_start_matches('#'));
                self.at(schema.unwrap_or_else(|| panic!("{reference} leads nowhere"))).found()
            }
            None => {
                for keyword in self.schema.as_object().unwrap().keys() {
                    assert!(
                        KEYWORDS.contains(&keyword.as_str()),
                        "the document uses `{keyword}`: teach server/tests/it/schemas/generate.rs what it means"
                    );
                }
                self
            }
        }
    }

    fn kinds(self) -> Vec<&'a str> {
        match &self.schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => panic!("a schema without a type: {}", self.schema),
        }
    }

    fn size(self, keyword: &str) -> Option<usize> {
        self.schema[keyword].as_u64().map(|n| usize::try_from(n).unwrap())
    }

    fn properties(self) -> impl Iterator<Item = (&'a String, Self, bool)> {
        assert_eq!(self.schema["additionalProperties"], false, "an input that takes any field: {}", self.schema);
        let required = self.schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        let properties = self.schema["properties"].as_object().unwrap();
        properties.iter().map(move |(name, schema)| (name, self.at(schema).found(), required.contains(&json!(name))))
    }

    /// What it accepts.
    pub fn instances(self) -> BoxedStrategy<Value> {
        let this = self.found();
        if let Some(words) = this.schema["enum"].as_array() {
            return proptest::sample::select(words.clone()).boxed();
        }
        if let Some(value) = this.schema.get("const") {
            return Just(value.clone()).boxed();
        }
        if let Some(choices) = this.schema["oneOf"].as_array() {
            return Union::new(choices.iter().map(|choice| this.at(choice).instances())).boxed();
        }
        Union::new(this.kinds().into_iter().map(|kind| match kind {
            "string" => this.strings(),
            "integer" => this.integers(),
            "boolean" => any::<bool>().prop_map(Value::from).boxed(),
            "null" => Just(Value::Null).boxed(),
            "array" => this.arrays(),
            "object" => this.objects(),
            other => panic!("teach server/tests/it/schemas/generate.rs what a {other} is"),
        }))
        .boxed()
    }

    fn strings(self) -> BoxedStrategy<Value> {
        let texts = match (self.schema["format"].as_str(), self.schema["pattern"].as_str()) {
            (Some("email"), _) => "[a-z0-9]{1,12}([.+-][a-z0-9]{1,8})?@[a-z]{1,12}[.](com|example|co[.]kr)".boxed(),
            (Some("date-time"), _) => moments(),
            (None | Some("password"), Some(pattern)) if !pattern.contains("u0000") => {
                let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
                proptest::string::string_regex(pattern).unwrap().boxed()
            }
            // Whatever characters the pattern takes; of names and lines, whose formats take less, letters and signs.
            (format @ (None | Some("password" | "line" | "name")), pattern) => {
                let takes = Pattern::new(pattern.unwrap_or(""));
                let is_any = !matches!(format, Some("line" | "name"));
                let letter =
                    any::<char>().prop_map(move |c| if takes.accepts(c) && (is_any || is_letter(c)) { c } else { 'a' });
                let (min, max) = (self.size("minLength").unwrap_or(0), self.size("maxLength"));
                let few = vec(letter.clone(), min..=max.unwrap_or(usize::MAX).min(min + FEW));
                let many = letter.prop_map(move |c| vec![c; max.unwrap_or(FEW)]);
                prop_oneof![9 => few, 1 => many].prop_map(|letters| letters.into_iter().collect::<String>()).boxed()
            }
            (Some(format), _) => panic!("teach server/tests/it/schemas/generate.rs what a {format} looks like"),
        };
        texts.prop_map(Value::from).boxed()
    }

    fn integers(self) -> BoxedStrategy<Value> {
        let min = self.schema["minimum"].as_i64().unwrap_or(i64::MIN);
        let max = self.schema["maximum"].as_i64().unwrap_or(i64::MAX);
        prop_oneof![8 => min..=max, 1 => Just(min), 1 => Just(max)].prop_map(Value::from).boxed()
    }

    fn arrays(self) -> BoxedStrategy<Value> {
        let items = self.at(&self.schema["items"]).found();
        let (min, max) = (self.size("minItems").unwrap_or(0), self.size("maxItems"));
        if self.schema["uniqueItems"] == true {
            let words = items.schema["enum"].as_array().expect("only words are asked for once each").clone();
            let most = words.len();
            return proptest::sample::subsequence(words, min..=most).prop_shuffle().prop_map(Value::from).boxed();
        }
        let few = vec(items.instances(), min..=max.unwrap_or(usize::MAX).min(min + FEW));
        let many = vec(items.instances(), max.unwrap_or(FEW));
        prop_oneof![9 => few, 1 => many].prop_map(Value::from).boxed()
    }

    fn objects(self) -> BoxedStrategy<Value> {
        let fields: Vec<_> = self
            .properties()
            .map(|(name, schema, is_required)| {
                let (name, values) = (name.clone(), schema.instances());
                let values = if is_required { values.prop_map(Some).boxed() } else { option::of(values).boxed() };
                values.prop_map(move |value| value.map(|value| (name.clone(), value)))
            })
            .collect();
        fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
    }

    /// One instance with every field there is.
    pub fn fullest(self) -> Value {
        let this = self.found();
        if this.schema["type"] == "object" {
            return this
                .properties()
                .map(|(name, schema, _)| (name.clone(), schema.fullest()))
                .collect::<Map<_, _>>()
                .into();
        }
        this.instances().new_tree(&mut TestRunner::deterministic()).unwrap().current()
    }

    /// Every way to spoil this instance that the schema knows of.
    pub fn wrongs(self, instance: &Value) -> Vec<Wrong> {
        let mut all = Vec::new();
        self.found().add_wrongs(instance, "", &mut all);
        all
    }

    fn add_wrongs(self, instance: &Value, pointer: &str, all: &mut Vec<Wrong>) {
        let mut add = |pointer: &str, code: &'static str, value: Option<Value>| {
            all.push(Wrong { pointer: pointer.to_owned(), code: Some(code), value });
        };
        if self.schema.get("enum").is_some() || self.schema.get("oneOf").is_some() {
            add(pointer, "not_allowed", Some(json!("no such word")));
            return;
        }
        let kinds = self.kinds();
        for (kind, value) in [
            ("boolean", json!(true)),
            ("string", json!("a")),
            ("integer", json!(1)),
            ("number", json!(1.5)),
            ("array", json!([])),
            ("object", json!({})),
            ("null", json!(null)),
        ] {
            let fits = kinds.contains(&kind) || (kind == "integer" && kinds.contains(&"number"));
            if !fits {
                add(pointer, "type", Some(value));
            }
        }
        for text in self.wrong_strings() {
            add(pointer, text.0, Some(json!(text.1)));
        }
        for number in self.wrong_integers() {
            add(pointer, "range", Some(number));
        }
        match instance {
            Value::Object(fields) => {
                add(&format!("{pointer}/no~1such~0field"), "unknown_field", Some(json!(1)));
                for (name, schema, is_required) in self.properties() {
                    let at = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    if let Some(value) = fields.get(name) {
                        if is_required {
                            all.push(Wrong { pointer: at.clone(), code: Some("required"), value: None });
                        }
                        schema.add_wrongs(value, &at, all);
                    }
                }
            }
            Value::Array(items) => {
                let schema = self.at(&self.schema["items"]).found();
                for many in self.wrong_sizes() {
                    add(pointer, "length", Some(vec![schema.fullest(); many].into()));
                }
                for (i, item) in items.iter().enumerate() {
                    schema.add_wrongs(item, &format!("{pointer}/{i}"), all);
                }
            }
            _ => {}
        }
    }

    /// Too short, too long, and against the pattern or the format.
    fn wrong_strings(self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if let Some(min) = self.size("minLength").filter(|min| *min > 0) {
            wrong.push(("length", "q".repeat(min - 1)));
        }
        if let Some(max) = self.size("maxLength") {
            wrong.push(("length", "q".repeat(max + 1)));
        }
        match (self.schema["format"].as_str(), self.schema["pattern"].as_str()) {
            (Some("email"), _) => wrong.push(("email", "nobody at example.com".to_owned())),
            (Some("date-time"), _) => wrong.push(("format", "2026-02-30T00:00:00Z".to_owned())),
            (format, Some(pattern)) if pattern.contains("u0000") => {
                let start = "q".repeat(self.size("minLength").unwrap_or(0));
                wrong.push(("nul_character", format!("{start}\0")));
                let takes = Pattern::new(pattern);
                for (code, c) in [("control_character", '\u{1b}'), ("direction_control", '\u{202e}')] {
                    if !takes.accepts(c) {
                        wrong.push((code, format!("{start}{c}")));
                    }
                }
                if matches!(format, Some("line" | "name")) {
                    wrong.push(("line_break", format!("{start}\r\n")));
                    wrong.push(("nothing_visible", " ".repeat(start.len().max(1))));
                }
            }
            (_, Some(_)) => wrong.push(("pattern", "no such form".to_owned())),
            _ => {}
        }
        wrong
    }

    fn wrong_integers(self) -> Vec<Value> {
        let below = self.schema["minimum"].as_i64().map(|min| json!(min - 1));
        let above = self.schema["maximum"].as_i64().map(|max| json!(max + 1));
        below.into_iter().chain(above).collect()
    }

    fn wrong_sizes(self) -> Vec<usize> {
        let below = self.size("minItems").filter(|min| *min > 0).map(|min| min - 1);
        let above = self.size("maxItems").map(|max| max + 1);
        below.into_iter().chain(above).collect()
    }

    /// Every way to be wrong as the text of a parameter. A parameter has no type of its own: all is text. Which name its
    /// rule has, differs between lists and other operations.
    pub fn wrong_texts(self, pointer: &str) -> Vec<Wrong> {
        let this = self.found();
        let mut texts: Vec<Value> = Vec::new();
        match this.kinds().as_slice() {
            ["integer"] => {
                texts.extend(["", "many", "1.5", "1e1", "0x1"].map(Value::from));
                texts.extend(this.wrong_integers());
            }
            ["boolean"] => texts.extend(["", "yes", "1", "True"].map(Value::from)),
            ["string"] => texts.extend(this.wrong_strings().into_iter().map(|(_, text)| Value::from(text))),
            ["array"] => {
                let items = this.at(&this.schema["items"]).found();
                if items.schema.get("enum").is_some() {
                    texts.extend(["", "no such word"].map(Value::from));
                } else {
                    texts.extend(items.wrong_strings().into_iter().map(|(_, text)| Value::from(text)));
                }
                let one = items.fullest();
                texts.extend(this.size("maxItems").map(|max| Value::from(vec![one.clone(); max + 1])));
                if this.schema["uniqueItems"] == true {
                    texts.push(vec![one; 2].into());
                }
            }
            kinds => panic!("teach server/tests/it/schemas/generate.rs how a query holds {kinds:?}"),
        }
        texts.into_iter().map(|value| Wrong { pointer: pointer.to_owned(), code: None, value: Some(value) }).collect()
    }
}

/// A pattern, as JSON Schema reads it.
struct Pattern(jsonschema::Validator);

impl Pattern {
    fn new(pattern: &str) -> Self {
        Self(jsonschema::validator_for(&json!({ "pattern": pattern })).unwrap())
    }

    fn accepts(&self, c: char) -> bool {
        self.0.is_valid(&json!(c))
    }
}

/// A letter or digit of any script, or a sign of ASCII: no mark, which stands on another.
fn is_letter(c: char) -> bool {
    static LETTERS: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(r"^[\p{L}\p{N}]$"));
    c.is_ascii_punctuation() || LETTERS.accepts(c)
}

/// RFC 3339, in every zone, to the microsecond.
fn moments() -> BoxedStrategy<String> {
    let date = (2..=9998u16, 1..=12u8, 1..=28u8);
    let time = (0..=23u8, 0..=59u8, 0..=59u8, option::of("[.][0-9]{1,6}"));
    let zone = prop_oneof![Just("Z".to_owned()), "[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]"];
    (date, time, zone)
        .prop_map(|((year, month, day), (hour, minute, second, fraction), zone)| {
            let fraction = fraction.unwrap_or_default();
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
        })
        .boxed()
}
