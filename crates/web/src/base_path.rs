//! The path under which people reach the API, where a proxy takes it off before a request comes here: every link we write
//! has it, and no path that we read.

use std::borrow::Cow;

use http::header::{HeaderValue, LOCATION};

use crate::Response;

/// `/app`, or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct BasePath(String);

impl BasePath {
    /// As `public_url` has it: begins with a slash, ends with none.
    pub(crate) fn new(path: &str) -> Self {
        Self(path.trim_end_matches('/').to_owned())
    }

    /// What `servers` of the document says.
    pub(crate) fn of_server(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// A path as people see it.
    pub(crate) fn before<'a>(&self, path: &'a str) -> Cow<'a, str> {
        if self.0.is_empty() { path.into() } else { format!("{}{path}", self.0).into() }
    }

    /// Makes a `Location` that is a path of ours one that people can follow. What domains write has no base path: so what is
    /// kept of an answer stays good when it changes.
    pub(crate) fn put_before_location(&self, response: &mut Response) {
        if self.0.is_empty() {
            return;
        }
        let Some(location) = response.headers().get(LOCATION).and_then(|location| location.to_str().ok()) else {
            return;
        };
        // `//host/path` leads elsewhere.
        if location.starts_with('/')
            && !location.starts_with("//")
            && let Ok(location) = HeaderValue::try_from(format!("{}{location}", self.0))
        {
            response.headers_mut().insert(LOCATION, location);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    #[test]
    fn a_path_of_ours_has_it_and_no_other() {
        let location = |base: &str, given: &'static str| {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert(LOCATION, HeaderValue::from_static(given));
            BasePath::new(base).put_before_location(&mut response);
            response.headers()[LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(location("/app", "/api/v1/x"), "/app/api/v1/x");
        assert_eq!(location("/app/", "/api/v1/x"), "/app/api/v1/x");
        assert_eq!(location("", "/api/v1/x"), "/api/v1/x");
        for other in ["https://example.com/x", "//example.com/x", "x"] {
            assert_eq!(location("/app", other), other);
        }
        assert_eq!((BasePath::new("/app").of_server(), BasePath::default().of_server()), ("/app", "/"));
        assert_eq!(BasePath::new("/app").before("/x"), "/app/x");
    }
}
