use std::borrow::Cow;
use std::sync::Arc;

use mainstay::kernel::{TextProfile, ValidationErrors};
use mainstay::prelude::*;
use mainstay::web::validate::{Length, Pointer};
use mainstay::web::{Check, Operation, Problem, Response, Success};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::error::{LoginError, RefreshError, RegisterError};
use crate::keys::Jwk;
use crate::model::{COMMON_PASSWORD, Password};
use crate::service::{Accounts, Registered, Registration, Tokens};

impl Service for Accounts {}

/// Who wants an account.
#[input]
#[derive(Debug)]
pub(crate) struct NewAccount {
    /// The address to sign in with.
    #[check(email, length(max = 254))]
    #[schemars(example = &"ada@example.com")]
    email: String,
    /// 8 characters or more (15 are better), none of the commonest. Spaces count; nothing is cut off.
    #[check(length(min = 8, max = 256))]
    #[schemars(example = &"seven green lanterns")]
    password: NewPassword,
    /// What others see.
    #[check(name, length(min = 1, max = 100))]
    #[schemars(example = &"Ada")]
    display_name: String,
}

/// A password someone chooses. Judged with the rest of the body, so that all errors come back at once; what depends on
/// settings or on the other fields, the service judges.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct NewPassword(Secret<String>);

impl Check for NewPassword {
    fn check(&mut self, profile: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        self.0.check(profile, pointer, errors);
        if Password::new(self.0.expose()).is_common() {
            pointer.fault(errors, "common_password", COMMON_PASSWORD);
        }
    }
}

impl Length for NewPassword {
    const UNIT: mainstay::kernel::Text = text!("characters");

    fn length(&self) -> Option<usize> {
        self.0.length()
    }
}

impl JsonSchema for NewPassword {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NewPassword".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Secret::<String>::json_schema(generator);
        schema.insert("pattern".to_owned(), "^[^\\u0000]*$".into());
        schema
    }
}

/// Who wants to sign in.
#[input]
#[derive(Debug)]
pub(crate) struct Credentials {
    /// The address of the account.
    #[check(length(max = 254))]
    #[schemars(example = &"ada@example.com")]
    email: String,
    /// Its password.
    #[check(length(max = 256))]
    #[schemars(example = &"seven green lanterns")]
    password: Secret<String>,
}

/// A session to go on with.
#[input]
#[derive(Debug)]
pub(crate) struct RefreshInput {
    /// The refresh token of the last answer. It is good for one use.
    #[check(length(max = 1024))]
    refresh_token: Secret<String>,
}

/// A session to end, beside the caller's own.
#[input]
#[derive(Debug)]
pub(crate) struct LogoutInput {
    /// A refresh token of another session of yours, which ends too.
    #[check(length(max = 1024))]
    refresh_token: Option<Secret<String>>,
}

/// An account.
#[view]
#[derive(Debug)]
pub struct AccountView {
    /// Whose.
    pub id: UserId,
    /// The address to sign in with.
    pub email: String,
    /// What others see.
    pub display_name: String,
    /// What the account may do.
    pub role: Role,
    /// Since when.
    pub created_at: Time,
}

impl CreatedFrom for AccountView {
    type Source = Registered;

    fn created(Registered { account, display_name }: &Registered) -> Created<Self> {
        let view = AccountView {
            id: account.id,
            email: account.email.clone(),
            display_name: display_name.clone(),
            role: account.role,
            created_at: account.created_at,
        };
        Created::at(format!("/api/v1/users/{}", view.id), view)
    }
}

/// Tokens (RFC 6749 section 5.1).
#[view]
pub struct TokenPair {
    /// Send it as `Authorization: Bearer …`.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// How long the access token is good, in seconds.
    pub expires_in: u64,
    /// Good for one exchange into new tokens.
    pub refresh_token: String,
}

impl std::fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenPair").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

impl From<Tokens> for NoStore<TokenPair> {
    fn from(tokens: Tokens) -> Self {
        NoStore(TokenPair {
            access_token: tokens.access.into_inner(),
            token_type: "Bearer".to_owned(),
            expires_in: tokens.expires_in_s,
            refresh_token: tokens.refresh.into_inner(),
        })
    }
}

/// The public keys that verify access tokens (RFC 7517 section 5).
#[view]
#[derive(Debug)]
pub struct JwkSet {
    /// Every key whose tokens are good now or will be soon.
    pub keys: Vec<Jwk>,
}

/// Register an account.
///
/// Sign in with it next: this answers with the account, not with tokens. An address that is taken is a conflict.
#[post("/auth/register", limit = "register")]
pub(crate) async fn register(
    ctx: Ctx,
    accounts: Accounts,
    Valid(new): Valid<NewAccount>,
) -> Result<Created<AccountView>, RegisterError> {
    let NewAccount { email, password, display_name } = new;
    let registered = accounts.register(&ctx, Registration { email, password: password.0, display_name }).await?;
    Ok(AccountView::created(&registered))
}

/// Sign in.
///
/// Answers alike whether the address or the password is wrong. Wrong passwords are counted, right ones are not.
#[post("/auth/login")]
pub(crate) async fn login(
    ctx: Ctx,
    accounts: Accounts,
    limits: Limits,
    Valid(credentials): Valid<Credentials>,
) -> Result<NoStore<TokenPair>, LoginError> {
    let attempt = accounts.attempt(&ctx, &credentials.email).await?;
    let subject = attempt.subject();
    // Taken before the check, so that of any number at once no more are checked than there is left of the allowance.
    let mut taken = None;
    let admit = async || {
        taken = Some(limits.take(&ctx, &["login", "account"], &subject).await?);
        Ok(())
    };
    let outcome = accounts.login(&ctx, attempt, &credentials.password, admit).await;
    if !matches!(outcome, Err(LoginError::InvalidCredentials))
        && let Some(taken) = taken
    {
        taken.give_back(&ctx).await;
    }
    Ok(outcome?.into())
}

/// Exchange a refresh token for new tokens.
///
/// The token sent is spent by it. Sent again within `auth.refresh_grace_s`, and before the new one is used, it gives the same
/// new one: an answer may be lost, and two tabs may ask at once. Sending a spent one otherwise ends the session: it was used
/// twice, so someone else has it.
#[post("/auth/refresh")]
pub(crate) async fn refresh(
    ctx: Ctx,
    accounts: Accounts,
    Valid(input): Valid<RefreshInput>,
) -> Result<NoStore<TokenPair>, RefreshError> {
    Ok(accounts.refresh(&ctx, &input.refresh_token).await?.into())
}

/// Sign out.
///
/// The session's access and refresh tokens are no longer good. The body may be left out.
#[post("/auth/logout")]
pub(crate) async fn logout(
    caller: Caller<User>,
    accounts: Accounts,
    input: Option<Valid<LogoutInput>>,
) -> Result<NoContent, StoreError> {
    let other = input.and_then(|Valid(input)| input.refresh_token);
    accounts.logout(caller.ctx(), caller.user_id(), caller.session_id(), other.as_ref()).await?;
    Ok(NoContent)
}

/// The public keys that verify access tokens.
///
/// A JWK set (RFC 7517). Keep it for as long as `Cache-Control` says: a new key stands in it before it signs anything.
#[get("/.well-known/jwks.json", root)]
pub(crate) async fn get_jwks(ctx: Ctx, accounts: Accounts) -> Result<Published, StoreError> {
    let (keys, max_age_s) = accounts.published_keys(&ctx).await?;
    let keys = keys.iter().map(|key| key.jwk().clone()).collect();
    Ok(Published { set: Arc::new(JwkSet { keys }), max_age_s })
}

/// A key set that anyone may keep for a while: shorter than a new key is published before it signs.
#[derive(Debug)]
pub(crate) struct Published {
    set: Arc<JwkSet>,
    max_age_s: u64,
}

impl Success for Published {
    fn describe(op: &mut Operation<'_>) {
        Json::<JwkSet>::describe(op);
    }

    fn into_response(self) -> Result<Response, Problem> {
        let mut response = Json(&*self.set).into_response()?;
        let value = format!("public, max-age={}", self.max_age_s);
        if let Ok(value) = value.parse() {
            response.headers_mut().insert("cache-control", value);
        }
        Ok(response)
    }
}
