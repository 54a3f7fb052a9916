use std::sync::Arc;

use http::header::HeaderValue;

use crate::{Endpoint, Method};

/// Finds the endpoint of a method and path.
#[derive(Debug, Default)]
pub(crate) struct Router {
    tree: matchit::Router<usize>,
    paths: Vec<PathEntry>,
}

#[derive(Debug)]
struct PathEntry {
    template: String,
    params: Vec<Arc<str>>,
    endpoints: Vec<Arc<Endpoint>>,
    allow: String,
}

/// What the router found.
pub(crate) enum Found<'a> {
    /// An endpoint, and the path's parameters in order.
    Endpoint(&'a Arc<Endpoint>, Vec<(Arc<str>, String)>),
    /// The path, but without this method: those it has.
    OtherMethods(&'a str),
    /// Nothing.
    Nothing,
}

impl Router {
    /// Adds an endpoint at its full path.
    pub(crate) fn add(&mut self, path: &str, endpoint: &Arc<Endpoint>) -> Result<(), String> {
        let index = match self.paths.iter().position(|p| p.template == path) {
            Some(index) => index,
            None => {
                self.tree.insert(path, self.paths.len()).map_err(|e| format!("the path {path}: {e}"))?;
                let params = path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).map(Arc::from);
                self.paths.push(PathEntry {
                    template: path.to_owned(),
                    params: params.collect(),
                    endpoints: Vec::new(),
                    allow: String::new(),
                });
                self.paths.len() - 1
            }
        };
        let entry = &mut self.paths[index];
        entry.endpoints.push(endpoint.clone());
        entry.endpoints.sort_by_key(|e| e.method);
        let mut names: Vec<&str> = entry.endpoints.iter().map(|e| e.method.name()).collect();
        if names.contains(&"GET") {
            names.insert(1, "HEAD");
        }
        names.push("OPTIONS");
        entry.allow = names.join(", ");
        Ok(())
    }

    /// Looks up a request's method and path. HEAD is answered by GET.
    pub(crate) fn find(&self, method: &http::Method, path: &str) -> Found<'_> {
        let Ok(matched) = self.tree.at(path) else { return Found::Nothing };
        let entry = &self.paths[*matched.value];
        let wanted = match *method {
            http::Method::GET | http::Method::HEAD => Method::Get,
            http::Method::POST => Method::Post,
            http::Method::PUT => Method::Put,
            http::Method::PATCH => Method::Patch,
            http::Method::DELETE => Method::Delete,
            _ => return Found::OtherMethods(&entry.allow),
        };
        match entry.endpoints.iter().find(|e| e.method == wanted) {
            Some(endpoint) => {
                let values = matched.params.iter().map(|(_, value)| value.to_owned());
                Found::Endpoint(endpoint, entry.params.iter().cloned().zip(values).collect())
            }
            None => Found::OtherMethods(&entry.allow),
        }
    }
}

/// All that some path takes.
pub(crate) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The `Allow` header (RFC 9110 section 10.2.1).
pub(crate) fn allow_header(allow: &str) -> HeaderValue {
    HeaderValue::from_str(allow).unwrap_or_else(|_| HeaderValue::from_static("GET"))
}
