//! What is sent of each row: `?fields=` and `?include=`.

use kernel::{RequestPart, Text, ValidationErrors, text};
use serde_json::{Map, Value};
use store::{Store, StoreError};

use crate::{Include, Loader, Resource, Spec};

/// An include whose loader is linked.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub include: &'static Include,
    pub loader: Loader,
}

/// What a request asked to be sent.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    fields: Option<Vec<&'static str>>,
    relations: Vec<Relation>,
}

impl Selection {
    /// Whether rows are sent whole and alone, the fast way.
    pub(crate) const fn is_plain(&self) -> bool {
        self.fields.is_none() && self.relations.is_empty()
    }

    /// Whether nothing of another domain belongs to it.
    pub(crate) const fn includes_nothing(&self) -> bool {
        self.relations.is_empty()
    }

    /// Reads `fields`.
    pub(crate) fn read_fields(&mut self, spec: &Spec, text: &str, errors: &mut ValidationErrors) {
        let mut fields = Vec::new();
        for name in listed("/fields", text, errors) {
            match spec.column(name).filter(|(_, c)| c.is_visible) {
                Some((_, column)) if fields.contains(&column.name) => repeated("/fields", name, errors),
                Some((_, column)) => fields.push(column.name),
                None => {
                    let all: Vec<&str> = spec.columns.iter().filter(|c| c.is_visible).map(|c| c.name).collect();
                    errors.add(RequestPart::Query, "/fields", "not_allowed", may_name(&all));
                }
            }
        }
        self.fields = Some(fields);
    }

    /// Reads `include`.
    pub(crate) fn read_include(&mut self, known: &[Relation], text: &str, errors: &mut ValidationErrors) {
        for name in listed("/include", text, errors) {
            match known.iter().find(|r| r.include.name == name) {
                Some(_) if self.relations.iter().any(|r| r.include.name == name) => repeated("/include", name, errors),
                Some(relation) => self.relations.push(relation.clone()),
                None => {
                    let all: Vec<&str> = known.iter().map(|r| r.include.name).collect();
                    let message = if all.is_empty() { text!("nothing can be included") } else { may_name(&all) };
                    errors.add(RequestPart::Query, "/include", "not_allowed", message);
                }
            }
        }
    }

    /// The rows as asked for: one query for each include, however many rows there are.
    pub(crate) async fn render<R: Resource>(
        &self,
        ctx: &kernel::Ctx,
        store: &Store,
        rows: &[R],
    ) -> Result<Vec<Value>, StoreError> {
        let mut rendered = Vec::with_capacity(rows.len());
        for row in rows {
            let value = serde_json::to_value(row.view()).map_err(StoreError::internal)?;
            let Value::Object(mut object) = value else { return Err(StoreError::internal("a view is an object")) };
            if let Some(fields) = &self.fields {
                object = fields
                    .iter()
                    .filter_map(|f| object.remove(*f).map(|v| ((*f).to_owned(), v)))
                    .collect::<Map<_, _>>();
            }
            rendered.push(object);
        }
        for relation in &self.relations {
            let keys: Vec<Option<uuid::Uuid>> = rows
                .iter()
                .map(|row| match row.value(relation.include.key) {
                    store::Value::Id(id) => Some(id),
                    _ => None,
                })
                .collect();
            let loaded = relation.loader.load(ctx, store, keys.iter().flatten().copied().collect()).await?;
            for (object, key) in rendered.iter_mut().zip(&keys) {
                let found = key.and_then(|key| loaded.get(&key)).cloned().unwrap_or_default();
                let value = if relation.loader.is_many {
                    Value::Array(found)
                } else {
                    found.into_iter().next().unwrap_or(Value::Null)
                };
                object.insert(relation.include.name.to_owned(), value);
            }
        }
        Ok(rendered.into_iter().map(Value::Object).collect())
    }
}

fn may_name(all: &[&str]) -> Text {
    text!("may name {names}", names = all.join(", "))
}

/// The most names in one list of them: each is compared with those before it.
const MOST_LISTED: usize = 100;

/// The names in a list; none of them where it is longer than any sensible one.
pub(crate) fn listed<'a>(
    pointer: &str,
    text: &'a str,
    errors: &mut ValidationErrors,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let is_too_long = text.split(',').nth(MOST_LISTED).is_some();
    if is_too_long {
        errors.add(RequestPart::Query, pointer, "length", text!("may list at most {most} values", most = MOST_LISTED));
    }
    text.split(',').take(if is_too_long { 0 } else { MOST_LISTED })
}

pub(crate) fn repeated(pointer: &str, name: &str, errors: &mut ValidationErrors) {
    errors.add(RequestPart::Query, pointer, "repeated", text!("names `{name}` twice", name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_that_is_too_long_is_not_looked_at() {
        let mut errors = ValidationErrors::new();
        let text = ["a"; MOST_LISTED].join(",");
        assert_eq!(listed("/sort", &text, &mut errors).count(), MOST_LISTED);
        assert!(errors.is_empty());
        assert_eq!(listed("/sort", &format!("{text},a"), &mut errors).count(), 0);
        let errors = errors.into_sorted();
        assert_eq!(errors.iter().map(|f| (f.pointer.as_str(), f.code)).collect::<Vec<_>>(), [("/sort", "length")]);
    }
}
