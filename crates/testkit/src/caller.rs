use base64::Engine;
use http::Method;
use serde_json::{Value, json};

use crate::{App, Call};

/// Everybody's password: long, on no list of common ones, and without the person's name or address.
pub const PASSWORD: &str = "seven green lanterns by the sea";

/// A caller of the API: anonymous, or a person who has signed in.
#[derive(Debug, Clone)]
pub struct Caller {
    app: App,
    email: String,
    password: String,
    tokens: Value,
}

impl Caller {
    pub(crate) fn anonymous(app: &App) -> Self {
        Self { app: app.clone(), email: String::new(), password: String::new(), tokens: Value::Null }
    }

    pub(crate) async fn register(app: &App, name: &str) -> Self {
        let mailbox: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        let email = format!("{mailbox}@example.com");
        let body = json!({ "email": email, "password": PASSWORD, "display_name": name });
        app.post("/api/v1/auth/register").json(&body).await.expect_success();
        let caller = Self { app: app.clone(), email, password: PASSWORD.to_owned(), tokens: Value::Null };
        caller.sign_in().await
    }

    /// The same person, signed in again: with new tokens, as after their role or password changed.
    ///
    /// # Panics
    /// When the API does not let them in.
    pub async fn sign_in(&self) -> Self {
        let body = json!({ "email": self.email, "password": self.password });
        let tokens = self.app.post("/api/v1/auth/login").json(&body).await.expect(200).json();
        assert!(tokens["access_token"].is_string(), "the answer to a login has no access_token: {tokens}");
        Self { tokens, ..self.clone() }
    }

    /// The same person with the same tokens, at another app over the same database.
    #[must_use]
    pub fn on(&self, app: &App) -> Self {
        Self { app: app.clone(), ..self.clone() }
    }

    /// The same person with another access token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        let mut tokens = self.tokens.clone();
        tokens["access_token"] = token.into();
        Self { tokens, ..self.clone() }
    }

    /// Their address.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Their password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The whole answer to their login.
    pub const fn tokens(&self) -> &Value {
        &self.tokens
    }

    /// Their access token.
    ///
    /// # Panics
    /// When they have not signed in.
    pub fn access_token(&self) -> &str {
        self.tokens["access_token"].as_str().unwrap_or_else(|| panic!("this caller has not signed in"))
    }

    /// Their refresh token.
    ///
    /// # Panics
    /// When they have not signed in.
    pub fn refresh_token(&self) -> &str {
        self.tokens["refresh_token"].as_str().unwrap_or_else(|| panic!("this caller has no refresh token"))
    }

    /// Who they are, `usr_…`, as their access token says.
    ///
    /// # Panics
    /// When they have not signed in, or the token is no JWT.
    pub fn id(&self) -> String {
        let claims = self.access_token().split('.').nth(1).and_then(|part| {
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice::<Value>(&bytes).ok()
        });
        let sub = claims.as_ref().and_then(|claims| claims["sub"].as_str());
        sub.unwrap_or_else(|| panic!("the access token says nobody's name: {claims:?}")).to_owned()
    }

    /// A request of theirs.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let call = self.app.call(method, path);
        match self.tokens["access_token"].as_str() {
            Some(token) => call.bearer(token),
            None => call,
        }
    }

    /// Their GET.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Their POST.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Their PUT.
    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    /// Their PATCH.
    pub fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    /// Their DELETE.
    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }
}
