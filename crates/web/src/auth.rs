use std::fmt;
use std::pin::Pin;

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use kernel::{ApiError, Code, Ctx, ErrorDoc, Identity, Role, SessionId, Text, UserId, text};

use crate::{Input, Operation, Problem, Request};

/// How an operation is secured, for its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Open, but told apart when a token is sent.
    Optional,
    /// A bearer token is needed.
    Required,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessError {
    /// No token was sent.
    MissingToken,
    /// The token is not one of ours, or no longer good.
    InvalidToken,
    /// The caller is known, and may not.
    Forbidden,
    /// It cannot be decided now: what must be asked is away.
    AuthUnavailable,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl std::error::Error for AccessError {}

impl ApiError for AccessError {
    fn code(&self) -> Code {
        match self {
            Self::MissingToken | Self::InvalidToken => Code::Unauthenticated,
            Self::Forbidden => Code::Forbidden,
            Self::AuthUnavailable => Code::Unavailable,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::InvalidToken => "invalid_token",
            Self::Forbidden => "forbidden",
            Self::AuthUnavailable => "authentication_unavailable",
        }
    }

    fn message(&self) -> Text {
        match self {
            Self::MissingToken => text!("Sign in, and send the access token as `Authorization: Bearer …`."),
            Self::InvalidToken => {
                text!("The access token is not valid, has expired or was revoked. Refresh it or sign in again.")
            }
            Self::Forbidden => text!("Your account may not do this."),
            Self::AuthUnavailable => text!("The token cannot be checked right now. Try again."),
        }
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        for (error, meaning) in [
            (Self::MissingToken, "No access token was sent."),
            (Self::InvalidToken, "The access token is not valid, has expired or was revoked."),
            (Self::Forbidden, "The caller may not do this."),
            (Self::AuthUnavailable, "The access token cannot be checked right now."),
        ] {
            out.push(ErrorDoc { code: error.code(), name: error.name(), meaning });
        }
    }
}

impl AccessError {
    /// The problem, with the challenge that RFC 9110 section 11.6.1 and RFC 6750 section 3 ask for.
    pub fn into_problem(self) -> Problem {
        let challenge = match self {
            Self::MissingToken => "Bearer realm=\"mainstay\"",
            Self::InvalidToken => {
                "Bearer realm=\"mainstay\", error=\"invalid_token\", error_description=\"not valid, expired or revoked\""
            }
            Self::Forbidden | Self::AuthUnavailable => return self.into(),
        };
        Problem::from(self).with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}

/// The verdict on a token.
pub enum Authentication {
    /// Known at once.
    Now(Result<Identity, AccessError>),
    /// Needs to ask the store.
    Later(Pin<Box<dyn Future<Output = Result<Identity, AccessError>> + Send>>),
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(verdict) => write!(f, "Now({verdict:?})"),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// Tells who a token stands for. `auth` supplies it.
pub trait Authenticate: Send + Sync + 'static {
    /// Judges a bearer token. A garbled one costs no I/O.
    fn authenticate(&self, ctx: &Ctx, token: &str) -> Authentication;

    /// The operations by which a person gets such a token. The document names them as `x-sign-in`, and the
    /// documentation page has a panel to sign in with; without it there is none.
    fn sign_in(&self) -> Option<SignIn> {
        None
    }
}

/// Operations that sign in and out, by name. Signing in takes `email` and `password` and answers as RFC 6749 section
/// 5.1 says; refreshing takes its `refresh_token` and answers alike; signing out takes the access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    /// Makes an account; whatever else its body requires, the page asks for as text.
    pub register: Option<&'static str>,
    /// Signs in.
    pub login: &'static str,
    /// Goes on with a session.
    pub refresh: &'static str,
    /// Ends it.
    pub logout: &'static str,
}

/// Who may call: the parameter of [`Caller`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say who may call",
    note = "`Caller<Anyone>`, `Caller<User>` and `Caller<Admin>` are there; a type with `Access` makes another"
)]
pub trait Access: Send + 'static {
    /// What is known about such a caller.
    type Grant: Send;
    /// How the operation's document says it.
    const SECURITY: Security;
    /// Whether this one is let in.
    ///
    /// # Errors
    /// Why it is not.
    fn authorize(identity: &Identity) -> Result<Self::Grant, AccessError>;
}

/// Anyone; a token that is sent must be good.
#[derive(Debug)]
pub enum Anyone {}
/// A person who has signed in.
#[derive(Debug)]
pub enum User {}
/// An administrator.
#[derive(Debug)]
pub enum Admin {}

/// A person and the session in which they ask.
#[derive(Debug, Clone, Copy)]
pub struct SignedInUser {
    user_id: UserId,
    session_id: SessionId,
    role: Role,
}

impl Access for Anyone {
    type Grant = ();
    const SECURITY: Security = Security::Optional;

    fn authorize(_: &Identity) -> Result<(), AccessError> {
        Ok(())
    }
}

impl Access for User {
    type Grant = SignedInUser;
    const SECURITY: Security = Security::Required;

    fn authorize(identity: &Identity) -> Result<SignedInUser, AccessError> {
        match *identity {
            Identity::User { user_id, session_id, role } => Ok(SignedInUser { user_id, session_id, role }),
            Identity::Anonymous | Identity::System => Err(AccessError::MissingToken),
        }
    }
}

impl Access for Admin {
    type Grant = SignedInUser;
    const SECURITY: Security = Security::Required;

    fn authorize(identity: &Identity) -> Result<SignedInUser, AccessError> {
        let person = User::authorize(identity)?;
        if person.role == Role::Admin { Ok(person) } else { Err(AccessError::Forbidden) }
    }
}

/// Who calls, proved: authentication and authorization as an argument. The handler cannot be written without it, and
/// the document says the same.
#[derive(Debug)]
pub struct Caller<W: Access> {
    ctx: Ctx,
    grant: W::Grant,
}

impl<W: Access> Caller<W> {
    /// The operation, in the caller's name.
    pub const fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// What is known about the caller.
    pub const fn grant(&self) -> &W::Grant {
        &self.grant
    }
}

impl<W: Access<Grant = SignedInUser>> Caller<W> {
    /// Who.
    pub const fn user_id(&self) -> UserId {
        self.grant.user_id
    }

    /// By which session.
    pub const fn session_id(&self) -> SessionId {
        self.grant.session_id
    }

    /// With which role.
    pub const fn role(&self) -> Role {
        self.grant.role
    }
}

impl Request {
    /// Who sent this, proved once for all arguments.
    ///
    /// # Errors
    /// When a token was sent that is not good, or it cannot be judged now.
    pub async fn authenticate(&mut self) -> Result<Identity, Problem> {
        if let Some(identity) = self.authenticated {
            return Ok(identity);
        }
        let identity = match self.header(AUTHORIZATION, "authorization")? {
            None => Identity::Anonymous,
            Some(header) => {
                // The scheme is case-insensitive (RFC 9110 section 11.1).
                let token = header
                    .split_once(' ')
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                    .map(|(_, token)| token.trim_start_matches(' '))
                    .filter(|token| !token.is_empty())
                    .ok_or_else(|| AccessError::InvalidToken.into_problem())?;
                let verdict = match self.api.authenticator() {
                    Some(authenticator) => authenticator.authenticate(&self.ctx, token),
                    None => Authentication::Now(Err(AccessError::InvalidToken)),
                };
                match verdict {
                    Authentication::Now(verdict) => verdict,
                    Authentication::Later(wait) => wait.await,
                }
                .map_err(AccessError::into_problem)?
            }
        };
        self.authenticated = Some(identity);
        Ok(identity)
    }

    /// Authenticates an already authenticated person again.
    ///
    /// # Errors
    /// When the person is no longer the same, or this cannot be judged now.
    pub(crate) async fn authenticate_again(&mut self) -> Result<(), Problem> {
        let before = self.authenticated;
        if before.is_none_or(|identity| identity.user_id().is_none()) {
            return Ok(());
        }
        self.authenticated = None;
        if Some(self.authenticate().await?) == before { Ok(()) } else { Err(AccessError::InvalidToken.into_problem()) }
    }
}

impl<W: Access> Input for Caller<W> {
    fn describe(op: &mut Operation<'_>) {
        op.security(W::SECURITY);
        let mut docs = Vec::new();
        AccessError::describe(&mut docs);
        // A person without a role is turned away: then the document says so.
        let nobody = uuid::Uuid::nil();
        let ordinary = Identity::User {
            user_id: UserId::from_uuid(nobody),
            session_id: SessionId::from_uuid(nobody),
            role: Role::User,
        };
        let is_role = W::authorize(&ordinary).is_err();
        for doc in docs {
            let can_happen = match doc.name {
                "missing_token" => W::SECURITY == Security::Required,
                "forbidden" => is_role,
                _ => true,
            };
            if can_happen {
                op.error(doc);
            }
        }
    }

    async fn extract(request: &mut Request) -> Result<Self, Problem> {
        let identity = request.authenticate().await?;
        let grant = W::authorize(&identity).map_err(AccessError::into_problem)?;
        Ok(Self { ctx: request.ctx.by(identity), grant })
    }
}
